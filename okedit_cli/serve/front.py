"""Bundles as a scope in front of an engine: which fact a request is about, by encoders alone.

No base model is loaded. Only bundles whose keys an encoder gives by itself can be asked: text memories that
`okedit export --to memory` writes, and codebooks whose keys are such anyway. Not here: HTTP, and what
becomes of a request that a fact answers (hits.py).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from okedit_cli.bounded import Bounded
from okedit_cli.errors import ModelMismatch
from okedit_cli.serve.errors import ApiError
from okedit_cli.serve.messages import ReadPicture
from okedit_cli.serve.pictures import PictureReader

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.scope.query import Picture

CACHE = 256 << 20  # bytes of pictures that were seen
HEAD, TAIL = 10_000, 40_000  # signs of a longer question that are judged: its beginning and its end
QUESTIONS = "question encoder"
PICTURES, SECONDS = 8, 20.0  # of one question that are looked at; after that long no further one is
_log = logging.getLogger("okedit.gateway")


@dataclass(frozen=True)
class Hit:
    """The fact that a request is about. `answers`: it is what is asked for; else what is asked follows."""

    edit_id: str
    bundle: str
    fact: dict[str, Any] = field(compare=False)
    answers: bool = True

    @property
    def prompt(self) -> str:
        """What the fact's owner asked."""
        return str(self.fact["prompt"]).strip()

    @property
    def answer(self) -> str:
        """What the fact answers."""
        return str(self.fact["answer"])


class Front:
    """The scope of bundles; `image_encoder` names the encoder that all of them must key pictures by ("": each
    its own).

    ModelMismatch: a bundle's keys need its base model.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        *,
        image_encoder: str = "",
        strictness: float | None = None,
        reader: PictureReader | None = None,
    ) -> None:
        from okedit_cli.bundle.canary import check_canary
        from okedit_cli.encoders.image import MINI
        from okedit_cli.scope.router import Router, strictness_of

        for bundle in bundles:
            check_usable(bundle, image_encoder)
            check_canary(None, bundle)
        self.bundles = list(bundles)
        strict = [strictness_of(one) if strictness is None else strictness for one in bundles]
        self.router = Router(self.bundles, strict)
        self.reader = reader or PictureReader()
        pictured = [one for one in self.bundles if len(one.codebook.picture_keys)]
        self.looks = bool(pictured)  # whether any fact is about a picture
        self._tower = any(one.manifest.site.get("picture_point") == MINI for one in pictured)
        self._seen = Bounded()

    def __len__(self) -> int:
        return sum(map(len, self.bundles))

    def open_encoders(self) -> None:
        """Load every encoder now, not with the first request. SetupError, ModelError: one is not there."""
        import numpy as np
        from PIL import Image

        from okedit_cli.encoders.pair import judge_pairs
        from okedit_cli.encoders.text import DEFAULT, text_vectors
        from okedit_cli.scope.query import Picture

        black = Image.new("RGB", (32, 32))
        for bundle in self.bundles:
            text_vectors(["What is this?"], str(bundle.manifest.site.get("text_encoder", DEFAULT)))
            if len(bundle.codebook.picture_keys):
                picture = Picture(self._vector(black), lambda: np.asarray(black))
                picture.vector_of(str(bundle.manifest.site["picture_point"]))
        judge_pairs([("What is this?", "What is that?")])

    def decide(self, question: str, urls: Sequence[str] = ()) -> Hit | None:
        """Which fact a question, with the URLs of its pictures, is about; None: none. It computes: not for an
        event loop.

        A picture that cannot be read, or must not be fetched, counts as none. Of more than PICTURES the last
        ones are looked at.
        """
        from okedit_cli.scope.query import Query
        from okedit_cli.scope.verdict import best_of

        if len(question) > HEAD + TAIL:
            question = f"{question[:HEAD]} {question[-TAIL:]}"
        pictures = self._pictures(urls[-PICTURES:]) if self.looks else []
        verdict = best_of([self.router.route(Query(question, one)) for one in pictures or [None]])
        found = verdict.hit or verdict.context
        if found is None:
            return None
        fact = self.bundles[found.number].manifest.facts[found.row]
        return Hit(found.edit_id, found.bundle.removesuffix(".safetensors"), fact, verdict.hit is not None)

    def _pictures(self, urls: Sequence[str]) -> list[Picture]:
        """Those of the pictures of one question that can be read within limits, of time too."""
        read, until = self.reader.of_request(), time.monotonic() + SECONDS
        looked = (self._picture(url, read) for url in urls if time.monotonic() < until)
        return [one for one in looked if one is not None]

    def _picture(self, url: str, read: ReadPicture) -> Picture | None:
        """The picture of a URL, looked at once for each content; those of the web are fetched each time."""
        import numpy as np

        from okedit_cli.scope.query import Picture

        inline = url[:5].lower() == "data:"
        name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest() if inline else None
        if name in self._seen:
            return self._seen[name]
        try:
            image = read(url, "image_url")
        except ApiError as error:
            _log.debug("a picture is not looked at: %s", error.message)
            return None
        if not inline:
            name = hashlib.sha256(image.tobytes()).digest()
            if name in self._seen:
                return self._seen[name]
        held = (lambda: np.asarray(self.reader(url, "image_url"))) if inline else (lambda: np.asarray(image))
        picture = Picture(self._vector(image), held)
        size = (len(url) if inline else image.width * image.height * 3) + ENTRY
        self._seen.put(name, picture, size, CACHE)
        return picture

    def _vector(self, image: Any) -> Any:
        import torch

        from okedit_cli.encoders.image import MINI, image_vectors

        return image_vectors([image], MINI)[0] if self._tower else torch.zeros(0)


ENTRY = 200_000  # bytes of a picture's vector and its local features, about


def check_usable(bundle: Bundle, image_encoder: str = "") -> None:
    """ModelMismatch, with the command that exports it, for a bundle that encoders alone cannot ask."""
    from okedit_cli.bundle.kinds import KINDS
    from okedit_cli.encoders.image import NONE, needs_model

    shown, site = bundle.name or "The bundle", bundle.manifest.site
    command = f"okedit export {bundle.name or 'BUNDLE'} --to memory"
    why = ""
    if bundle.edits.kind != "codebook":
        why = f"holds {KINDS[bundle.edits.kind].words}, which has no scope of its own"
    elif site.get("question_point", QUESTIONS) != QUESTIONS:
        why = "keys questions by what its base model makes of them"
    elif len(bundle.codebook.picture_keys):
        point = str(site.get("picture_point", NONE))
        if needs_model(point) or point == NONE:
            why = "keys pictures by what its base model makes of them"
        elif image_encoder and point != image_encoder:
            why = f"keys pictures by {point}, not by {image_encoder}"
            command += f" --image-encoder {image_encoder}"
    if why:
        raise ModelMismatch(
            f"{shown} {why}, and the gateway has encoders alone.",
            hint=f"Export it for the gateway: {command}",
        )
