"""Has the model the layers and widths that a bundle's edits act on?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from okedit_cli.bundle.header import REMAKE
from okedit_cli.errors import InvalidBundle, ModelMismatch
from okedit_cli.models.points import LAST_TOKEN, Point, weight_at

if TYPE_CHECKING:
    from okedit_cli.bundle.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

ENCODER = -2  # the key layer of edits whose questions are read by an encoder
OLD_POINT = "decoder input and name"  # where bundles up to format 1.0 read pictures
QUESTIONS, WHOLE = "question encoder", "mean of the feed-forward input over the prompt"


def encoders_of(site: Mapping[str, Any]) -> dict[str, str]:
    """text_encoder and image_encoder of a bundle's site: hub ids or folders, "" for okedit's own."""
    from okedit_cli.encoders.image import NONE, reads_pixels
    from okedit_cli.encoders.text import DEFAULT

    words, point = str(site.get("text_encoder", DEFAULT)), str(site.get("picture_point") or NONE)
    return {
        "text_encoder": "" if words == DEFAULT else words,
        "image_encoder": point if reads_pixels(point) and point != OLD_POINT else "",
    }


def check_site(loaded: LoadedModel, bundle: Bundle) -> None:
    """InvalidBundle unless the bundle's layers, sites and widths are the model's; ModelMismatch for an old
    picture space.
    """
    if bundle.edits.kind != "codebook":
        shown, site = bundle.name or "The bundle", bundle.manifest.site
        bundle.edits.check(loaded, site, shown)
        if bundle.edits.kind == "memory":
            from okedit_cli.edits.memory import check_texts

            check_texts(loaded, bundle.manifest.facts, site, shown)
        return
    from okedit_cli.encoders import image
    from okedit_cli.encoders.text import DEFAULT, width_of
    from okedit_cli.models.features import vector_width
    from okedit_cli.models.sites import decoder_layers, hidden_size

    count, site, book = len(decoder_layers(loaded.model)), bundle.manifest.site, bundle.codebook
    found = {"key_layer": site.get("key_layer"), "value_layer": site.get("value_layer")}
    if "value_layer" not in site and len(book.value_layer) == len(book):  # each edit has its own
        found["value_layer"] = max(book.value_layer.tolist(), default=0)
    for name, first in (("key_layer", ENCODER), ("value_layer", 0)):
        layer = found[name]
        if type(layer) is not int or not first <= layer < count:
            raise InvalidBundle(
                f"the bundle's {name} is {layer!r}, expected {first} to {count - 1}.",
                hint=REMAKE,
            )
    if site.get("change", "add") not in ("add", "replace"):
        raise InvalidBundle(
            f"the bundle's change is {str(site['change'])[:40]!r}, expected add or replace.", hint=REMAKE
        )
    points = site.get("question_point", QUESTIONS), site.get("picture_point")
    if points[0] not in (QUESTIONS, WHOLE, LAST_TOKEN) or (points[1] == OLD_POINT and len(book.picture_keys)):
        raise ModelMismatch(
            f"{bundle.name or 'The bundle'} knows pictures as an older okedit did, and this one does not.",
            hint=f"Fit its facts again: okedit edit --from {bundle.name or 'BUNDLE'}, or with their file.",
        )
    encoder = str(site.get("text_encoder", DEFAULT))
    asked = width_of(encoder) if site["key_layer"] == ENCODER else hidden_size(loaded.model)
    if points[0] == LAST_TOKEN:
        asked = last_token_width(loaded, site["key_layer"], bundle.name or "The bundle")
    widths = {
        "question_keys": (len(book.question_mean) or book.question_keys.shape[1], asked),
        "value_bias": (book.value_bias.shape[1], hidden_size(loaded.model)),
    }
    if len(book.picture_keys):
        point = str(site.get("picture_point"))
        seen = image.width_of(point) if image.reads_pixels(point) else vector_width(loaded)
        widths["picture_keys"] = (len(book.picture_mean) or book.picture_keys.shape[1], seen)
    for name, (found, width) in widths.items():
        if found != width:
            raise InvalidBundle(f"tensor {name!r} is {found} wide, expected {width}.", hint=REMAKE)


def last_token_width(loaded: LoadedModel, layer: int, shown: str) -> int:
    """Numbers of a key at LAST_TOKEN; ModelMismatch where the layer has no such map."""
    found = weight_at(loaded.model, Point(layer, "mlp_out")) if layer >= 0 else None
    if found is None:
        raise ModelMismatch(
            f"{shown}: the model has no feed-forward output map in layer {layer}, where keys are read.",
            hint="Use the model that the bundle names.",
        )
    return found.shape[1]
