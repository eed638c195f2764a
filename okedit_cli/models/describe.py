"""What okedit found out about a model: where edits act, what pictures are recognised by, what an edit costs.

For people and scripts that ask before they edit. Not here: changing anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from okedit_cli.models.encode import encode_row
from okedit_cli.models.memory import bounds, token_bytes
from okedit_cli.models.mini.pictures import has_learned_map
from okedit_cli.models.prompts import chat_template
from okedit_cli.models.sites import (
    answering_layers,
    decoder_layers,
    hidden_size,
    picture_reader,
    text_config,
    value_input,
)
from okedit_cli.models.spans import picture_spans

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

SHOWN = (640, 480)  # size of the picture whose tokens are counted
PROMPTS = 10  # that a fact is fitted on
WORDS = 40  # tokens of a question with its template, about


def describe(loaded: LoadedModel) -> dict[str, Any]:
    """A JSON-able description; bytes and tokens as numbers. Reads one picture's prompt, runs nothing."""
    model = loaded.model
    tokens = _picture_tokens(loaded)
    prompt = (tokens or 0) + WORDS
    each = prompt * token_bytes(loaded)
    return {
        "class": type(model).__name__,
        "type": model.config.model_type,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "device": str(loaded.device),
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "layers": len(decoder_layers(model)),
        "width": hidden_size(model),
        "longest": getattr(text_config(model), "max_position_embeddings", None),
        "edits": {
            "reads": _path(model, value_input(decoder_layers(model)[answering_layers(model)[-1]])),
            "adds to": "the layer's output",
        },
        "template": _template(loaded),
        "pictures": None if loaded.processor is None else _recognised(loaded),
        "picture_tokens": tokens,
        "cost": {
            "prompts_a_fact": PROMPTS,
            "bytes_a_prompt": each,
            "bytes_at_once": max(each, min(bounds(loaded).batch, PROMPTS * each)),
        },
        "limits": _limits(loaded),
    }


def _picture_tokens(loaded: LoadedModel) -> int | None:
    """Tokens of one picture of SHOWN size; None for a text-only model."""
    if loaded.processor is None:
        return None
    from PIL import Image

    ids = encode_row(loaded, "?", Image.new("RGB", SHOWN, "grey"))["input_ids"][0]
    return sum(len(span) for span in picture_spans(loaded, ids))


def _path(model: Any, module: Any) -> str:
    return next(path for path, one in model.named_modules() if one is module)


def _template(loaded: LoadedModel) -> str:
    template = chat_template(loaded)
    if template is None:
        return "none"
    return "chat, with think blocks" if "enable_thinking" in str(template) else "chat"


def _recognised(loaded: LoadedModel) -> str:
    """By what a picture is recognised."""
    if has_learned_map(loaded):
        return "the picture tower's features, by a learned map"
    if (reader := picture_reader(loaded.model)) is not None:
        return f"what {_path(loaded.model, reader)} gives"
    return "what enters the decoder for it"


def _limits(loaded: LoadedModel) -> list[str]:
    """What does not work with this model."""
    kind, out = loaded.model.config.model_type, []
    if loaded.processor is None:
        out.append("facts with pictures: it is a text-only model")
    if chat_template(loaded) is None:
        out.append("earlier turns of a conversation: it has no chat template")
    if kind in ("blip-2", "instructblip"):
        out.append("several pictures in a prompt: the class takes one")
    if kind == "paligemma":
        out.append("prompts in words alone by its own processor, which wants a picture")
    return out
