"""Tiny random models of every family that okedit names, beside the five of `tiny`: a family's name and the
module that builds it.

A builder takes nothing and gives (model, saver): a real transformers class of random weights, and what
writes its tokenizer or processor beside it by `save_pretrained(folder)`. `tiny.build(name, folder)` makes a
checkpoint of both.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

# family -> module here, which has a function of the family's name
VISION = {
    "llava_next_mistral": "llava",
    "llava_next_vicuna": "llava",
    "llava_onevision": "llava",
    "pixtral": "llava",
    "mistral3": "llava",
    "blip2_opt": "blip",
    "minigpt4": "blip",
    "instructblip": "blip",
    "qwen2_5_vl": "qwen",
    "qwen3_vl": "qwen",
    "internvl": "qwen",
    "paligemma": "gemma",
    "gemma3": "gemma",
    "mllama": "mllama",
}
TEXT = {
    "qwen2": "text",
    "qwen3": "text",
    "gemma2": "text",
    "gemma3_text": "text",
    "opt": "text",
    "opt_350m": "text",
    "gptj": "text",
    "phi": "text",
    "phi3": "text",
    "mistral": "text",
}
# their code lies in the checkpoint's folder
REMOTE = {"remote_text": "remote", "remote_llava": "remote"}


def builder(family: str) -> Callable:
    """The function that builds a family; KeyError for one that is not known."""
    module = {**VISION, **TEXT, **REMOTE}[family]
    return getattr(importlib.import_module(f"families.{module}"), family)
