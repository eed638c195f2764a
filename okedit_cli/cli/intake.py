"""Where `okedit edit` gets its facts: a fact file, or a bundle with its own; and the bundle to add to."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import okedit_cli

from ..errors import InvalidFacts, ModelMismatch, OkeditError, UsageError
from ..facts import FactFile
from ..facts.stand_ins import Fetch
from .bundles import local, named
from .targets import BUNDLE


@dataclass(frozen=True)
class Intake:
    """Facts, what to call them, and whether their pictures are to be embedded again."""

    file: FactFile
    shown: str
    stem: str
    sources: bool = False


@contextmanager
def facts_from(path: str | None, origin: str | None, fetch: Fetch | None = None) -> Iterator[Intake]:
    """The facts of the file `path`, or of the bundle `origin`, its pictures in a folder for a while; `fetch`
    gets pictures by URL.
    """
    if (path is None) == (origin is None):
        raise UsageError(
            "Missing argument FACTS.yaml: there are no facts." if path is None else
            "FACTS.yaml and --from both give facts; give one or the other.",
            hint="okedit edit facts.yaml, or okedit edit --from BUNDLE -m MODEL",
        )  # fmt: skip
    if path is not None:
        try:
            file = okedit_cli.load_facts(path, fetch=fetch)
        except InvalidFacts:
            if Path(path).is_file() and BUNDLE.is_one(Path(path)):
                raise UsageError(
                    f"{path} is a bundle, expected a fact file.",
                    hint=f"`okedit edit --from {path}` takes its facts; `--append {path}` adds others to it.",
                ) from None
            raise
        stdin = str(file.path) == "-"
        yield Intake(file, "<stdin>" if stdin else str(file.path), "facts" if stdin else file.path.stem)
        return
    from ..bundle.export import facts_with_pictures

    source = local(origin)
    bundle = okedit_cli.Bundle.load(source, verify=True)
    with tempfile.TemporaryDirectory(prefix="okedit-") as scratch:
        try:
            facts, missing = facts_with_pictures(bundle, Path(scratch), origin)
        except OkeditError as error:
            raise named(error, origin) from None
        if missing:
            names = ", ".join(list(missing)[:10]) + (", ..." if len(missing) > 10 else "")
            raise InvalidFacts(
                f"{origin}: the bundle does not hold the pictures of {len(missing)} facts: {names}.",
                hint=f"`okedit export {origin} --to facts.yaml`, put the pictures in place, edit from that; "
                "`okedit edit --with-sources` makes bundles that hold them.",
            )
        if not facts:
            raise InvalidFacts(f"{origin}: the bundle holds no facts.")
        yield Intake(FactFile(source, tuple(facts)), origin, source.stem, bool(bundle.manifest.sources))


def embed(bundle: Any, facts: Any) -> None:
    """Put the pictures of the bundle's facts into it."""
    from ..bundle.sources import put_sources
    from ..bundle.words import pictures_of

    kept = {row["id"] for row in bundle.manifest.facts}
    pictures = sorted(pictures_of(fact for fact in facts if fact.id in kept))
    put_sources(bundle, [picture.read_bytes() for picture in pictures])


class Earlier:
    """The bundle that --append adds to, opened before the work so that what cannot work is told at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bundle = okedit_cli.Bundle.load(path)
        self.changed = False  # by another process, between the reading and with_new

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Method and layer of the edits that are there; UsageError when others are given: they cannot mix."""
        manifest = self.bundle.manifest
        needed = {"method": manifest.method, "layer": manifest.site.get("value_layer", "auto")}
        for name, value in needed.items():
            if given.get(name, "auto") not in (value, "auto"):
                raise UsageError(
                    f"{self.path}: its edits have {name} {value}, and --{name} asks for {given[name]}.",
                    hint=f"Leave out --{name}, or make a bundle of its own.",
                )
        return needed

    def own_settings(self) -> dict[str, Any]:
        """The method's own settings of the edits that are there, for new ones to be like them."""
        from ..methods import method_named

        known = {
            field.name for field in dataclasses.fields(method_named(self.bundle.manifest.method).settings)
        }
        return {name: value for name, value in self.bundle.manifest.settings.items() if name in known}

    def encoders(self, **given: str | None) -> dict[str, str]:
        """text_encoder and image_encoder of the edits that are there, "" for okedit's own; UsageError when
        others are given.
        """
        from ..bundle.site import encoders_of

        found = encoders_of(self.bundle.manifest.site)
        for name, id in given.items():
            if id and id != found[name]:
                option = "--" + name.replace("_", "-")
                raise UsageError(
                    f"{self.path}: its edits have {found[name] or 'the encoder of okedit'}, and {option} "
                    f"asks for {id}.",
                    hint=f"Leave out {option}, or make a bundle of its own.",
                )
        return found

    def check(self, loaded: Any) -> None:
        """ModelMismatch unless its edits are for this model."""
        from ..bundle import check_fit
        from ..models.fingerprint import fingerprint

        try:
            check_fit(self.bundle.manifest, fingerprint(loaded), content=True)
        except ModelMismatch as error:
            raise named(error, self.path) from None

    def spaces(self, loaded: Any) -> Any:
        """A context in which new edits are fitted in the key spaces of those that are there."""
        from ..bundle.lend import lent_spaces

        return lent_spaces(loaded, self.bundle)

    def with_new(self, bundle: Any) -> tuple[Any, Any]:
        """Both bundles as one, and the report: where they contradict each other, the new edits stay.

        To be called with the file locked: it is read again, since another okedit may have changed it.
        """
        from ..bundle.merge import merge

        if self.path.is_file():
            now = okedit_cli.Bundle.load(self.path)
            self.changed = now.manifest != self.bundle.manifest
            self.bundle = now
        names = [str(self.path), "the new edits"]
        return merge([self.bundle, bundle], on_conflict="newest", names=names, lazy=True)
