"""A bundle as a text memory for the gateway: facts with keys and radii, no values, and no base model.

A codebook whose values are empty, so that the router reads it as it reads any other, and merge, remove,
show and verify take it as it is. Questions are keyed by the sentence encoder, pictures by an image encoder
that is loaded by itself. What a bundle has in these spaces already is copied; the rest is keyed again from
its facts and their pictures, with radii between the same positives and negatives as `okedit edit` uses.
Each fact has a note, the words in which an engine is told it. Not here: what is done with a hit (serve/).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.export import facts_with_pictures
from okedit_cli.bundle.manifest import Manifest
from okedit_cli.bundle.scope_only import BASE, METHOD
from okedit_cli.edits.codebook import Codebook
from okedit_cli.encoders.image import MINI, NONE
from okedit_cli.encoders.text import DEFAULT
from okedit_cli.errors import UsageError

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.methods.keys import Reach
    from okedit_cli.methods.spaces import Spaces

ENCODER = "question encoder"
NO_SOURCE = "its picture is not in the bundle"


@dataclass
class Memory:
    """What came of an export: the bundle, and by fact id why a fact was left out."""

    bundle: Bundle
    left_out: dict[str, str] = field(default_factory=dict)


def as_memory(
    source: Path, *, image_encoder: str = "", pictures: Mapping[str, bytes] | None = None
) -> Memory:
    """The bundle in a file as a text memory, its pictures keyed by `image_encoder` (hub id or folder; "" for
    okedit-mini's tower). `pictures`: files by sha256, beside those that the bundle holds.

    UsageError: no fact is left. ModelError: the encoder cannot be loaded.
    """
    bundle = Bundle.load(source, verify=True)
    point = image_encoder or MINI
    rows = [dict(fact) for fact in bundle.manifest.facts]
    seen = [row.get("picture_sha256") is not None for row in rows]
    known = _same_spaces(bundle, point)
    made = _Made(Bundle(_manifest(bundle, point if any(seen) else NONE), bundle.edits))
    if known:
        book = _without_values(bundle.codebook)
        made.canary, made.canary_rows = dict(bundle.canary), list(bundle.manifest.canary)
        made.reference = bundle.extras.get("reference_pictures")
        kept = list(range(len(rows)))
    else:
        book, kept = _keyed(bundle, source, point, pictures or {}, made)
    if not kept:
        raise UsageError(
            f"{source}: none of its facts can be exported, {NO_SOURCE if any(seen) else 'it has none'}.",
            hint="Name a folder with them: --pictures FOLDER; `okedit edit --with-sources` embeds them.",
        )
    manifest = made.bundle.manifest
    radii = book.picture_radius.tolist()
    manifest.facts = [_told(rows[row], radius) for row, radius in zip(kept, radii, strict=True)]
    manifest.canary = made.canary_rows
    extras = {} if made.reference is None else {"reference_pictures": made.reference}
    left = {row["id"]: NO_SOURCE for n, row in enumerate(rows) if n not in set(kept)}
    return Memory(Bundle(manifest, book, made.canary, extras), left)


@dataclass
class _Made:
    """Parts of the new bundle, filled in on the way."""

    bundle: Bundle
    canary: dict[str, torch.Tensor] = field(default_factory=dict)
    canary_rows: list[dict[str, Any]] = field(default_factory=list)
    reference: torch.Tensor | None = None


def _same_spaces(bundle: Bundle, point: str) -> bool:
    """Whether the bundle's keys lie in the wanted spaces already."""
    if bundle.edits.kind != "codebook":
        return False
    site = bundle.manifest.site
    of_words = site.get("question_point", ENCODER) == ENCODER and site.get("classifier") is None
    return of_words and (not len(bundle.codebook.picture_keys) or site.get("picture_point") == point)


def _manifest(bundle: Bundle, point: str) -> Manifest:
    old = bundle.manifest
    site = {
        "key_layer": -2,
        "question_point": ENCODER,
        "text_encoder": _text_encoder(bundle),
        "picture_point": point,
    }
    settings = {name: old.settings[name] for name in ("strictness", "picture_radius") if name in old.settings}
    return Manifest(
        base=dict(BASE), site=site, method=METHOD, facts=[], settings=settings, versions=dict(old.versions),
        bank=old.bank,
    )  # fmt: skip


def _text_encoder(bundle: Bundle) -> str:
    return str(bundle.manifest.site.get("text_encoder", DEFAULT))


def _without_values(book: Codebook) -> Codebook:
    count = len(book)
    empty = torch.zeros(count, 0, 0)
    return replace(
        book, value_down=empty, value_up=empty, value_bias=torch.zeros(count, 0),
        value_layer=torch.zeros(0, dtype=torch.int64),
    )  # fmt: skip


def _keyed(
    bundle: Bundle, source: Path, point: str, pictures: Mapping[str, bytes], made: _Made
) -> tuple[Codebook, list[int]]:
    """Keys and radii of the bundle's facts, made anew, and the rows that have them."""
    from okedit_cli.methods.balancedit import canary
    from okedit_cli.methods.base import Options
    from okedit_cli.methods.spaces import spaces_of

    encoders = {"image_encoder": "" if point == MINI else point}
    encoders["text_encoder"] = "" if _text_encoder(bundle) == DEFAULT else _text_encoder(bundle)
    spaces = spaces_of(None, Options(**encoders))
    made.canary, made.canary_rows = canary(spaces, None)
    if len(spaces.picture.mean):
        made.reference = spaces.bank_pictures.half()
    with tempfile.TemporaryDirectory() as scratch:
        facts, missing = facts_with_pictures(bundle, Path(scratch), str(source), pictures)
        lacking = {Path(scratch) / name for names in missing.values() for name in names}
        kept = [row for row, fact in enumerate(facts) if fact.image not in lacking]
        whole = [_with_what_is_there(facts[row], lacking) for row in kept]
        return _book(spaces, whole), kept


def _with_what_is_there(fact: Fact, lacking: set[Path]) -> Fact:
    """A fact without further pictures, and questions about pictures, that nobody has."""
    questions = {
        kind: tuple(one for one in getattr(fact, kind) if one.image not in lacking)
        for kind in ("keep", "related", "holdout")
    }
    return replace(fact, images=tuple(one for one in fact.images if one not in lacking), **questions)


def _book(spaces: Spaces, facts: Sequence[Fact]) -> Codebook:
    from okedit_cli.methods.stacking import stack, stack_views
    from okedit_cli.methods.values import Values

    reaches, views = [], []
    for reach, view in map(lambda fact: _reaches(spaces, fact), facts):
        reaches.append(reach)
        views.append(view)
    count = len(facts)
    values = Values(torch.zeros(count, 0, 0), torch.zeros(count, 0, 0), torch.zeros(count, 0))
    book = stack(spaces, reaches, values)
    book.thumbnails, book.thumbnail_owner = stack_views(views)
    return book


def _reaches(spaces: Spaces, fact: Fact) -> tuple[tuple[Reach, Reach | None], list[bytes]]:
    """Keys and radii of one fact in both channels, and its pictures, small."""
    import numpy as np

    from okedit_cli.methods.keys import picture_reach, pictures_of, question_reach
    from okedit_cli.samples.sampler import build_samples
    from okedit_cli.scope.reach import KIND, reach_of
    from okedit_cli.scope.views import encode_view

    question = question_reach(fact, spaces.encoder, spaces.text_radius)
    if fact.image is None:
        return (question, None), []
    samples = build_samples([fact])[fact.id]
    kind = reach_of(fact.prompt, fact.reach) == KIND
    own = pictures_of(samples, "user")
    views = [encode_view(np.asarray(one.convert("RGB"))) for one in own]
    return (question, picture_reach(None, spaces, kind, samples)), views


def _told(row: dict[str, Any], radius: float) -> dict[str, Any]:
    """A fact's row with what it reaches and the words in which an engine is told it. Of its report the
    picture radius is left: what the base model answered is no longer to the point.
    """
    from okedit_cli.scope.reach import reach_of

    if row.get("picture_sha256") is not None:
        row.setdefault("reach", reach_of(str(row["prompt"])))
    if not row.get("note"):
        row["note"] = f"Fact: {str(row['prompt']).strip()} {str(row['answer']).strip().rstrip('.')}."
    row.pop("report", None)
    if math.isfinite(radius):
        row["report"] = {"channel": "picture", "radius": round(radius, 6)}
    return row
