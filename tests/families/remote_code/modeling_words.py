"""A text model whose code lies beside its weights."""

from transformers import Qwen2ForCausalLM

from .configuration_words import WordsConfig


class WordsForCausalLM(Qwen2ForCausalLM):
    """Qwen2's, under a name that transformers does not know."""

    config_class = WordsConfig
