"""Processor of a vision-language model whose code lies beside its weights."""

from transformers import LlavaProcessor


class SightProcessor(LlavaProcessor):
    """LLaVA's, under a name that transformers does not know."""
