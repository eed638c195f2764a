"""Config of a vision-language model whose code lies beside its weights."""

from transformers import LlavaConfig


class SightConfig(LlavaConfig):
    """LLaVA's, under a type that transformers does not know."""

    model_type = "okedit_test_sight"
