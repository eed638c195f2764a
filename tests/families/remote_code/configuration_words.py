"""Config of a text model whose code lies beside its weights."""

from transformers import Qwen2Config


class WordsConfig(Qwen2Config):
    """Qwen2's, under a type that transformers does not know."""

    model_type = "okedit_test_words"
