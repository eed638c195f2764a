"""A vision-language model whose code lies beside its weights."""

from transformers import LlavaForConditionalGeneration

from .configuration_sight import SightConfig


class SightForConditionalGeneration(LlavaForConditionalGeneration):
    """LLaVA's, under a name that transformers does not know."""

    config_class = SightConfig
