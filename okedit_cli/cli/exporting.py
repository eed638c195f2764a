"""okedit export --to memory|peft: where the form goes, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import FactsDidNotTake, InvalidFacts, UsageError
from .bundles import in_bytes, local
from .output import Output
from .targets import MEMORY, writable_folder, writable_target


@dataclass(frozen=True)
class Wanted:
    """What the command line says of a form; "" and None leave it to the bundle."""

    bundle: str
    output: str | None
    image_encoder: str
    pictures: str | None
    model: str | None
    force: bool


def in_form(form: str, wanted: Wanted, out: Output) -> None:
    """Write a bundle in a form. UsageError: an option of the other form."""
    other = {"memory": ("-m", wanted.model), "peft": ("--image-encoder", wanted.image_encoder)}[form]
    if other[1]:
        raise UsageError(f"{other[0]} is not for --to {form}.")
    source = local(wanted.bundle)
    {"memory": _memory, "peft": _peft}[form](source, wanted, out)


def _memory(source: Path, wanted: Wanted, out: Output) -> None:
    target = wanted.output or source.with_name(f"{source.stem}-memory.safetensors")
    target = writable_target(target, MEMORY, force=wanted.force, inputs=[source])
    pictures = _files(wanted.pictures)
    from ..exports.memory import as_memory
    from .loading import open_encoders

    open_encoders(image_encoder=wanted.image_encoder)
    made = as_memory(source, image_encoder=wanted.image_encoder, pictures=pictures)
    made.bundle.save(target)
    if out.json:
        facts = [fact["id"] for fact in made.bundle.manifest.facts]
        out.json_object(
            {"bundle": wanted.bundle, "to": str(target), "facts": facts, "left_out": made.left_out}
        )
    else:
        out.line(str(target))
    size = in_bytes(target.stat().st_size)
    out.say(f"exported: {len(made.bundle)} facts, {size}; okedit gateway -b {target} --upstream URL")
    _check_whole(made.left_out)


def _peft(source: Path, wanted: Wanted, out: Output) -> None:
    from ..bundle import read_manifest

    folder = writable_folder(wanted.output or source.with_name(f"{source.stem}-peft"), option="-o")
    if folder.is_dir() and any(folder.iterdir()) and not wanted.force:
        raise UsageError(
            f"{folder} is there already and not empty, so it stays as it is.",
            hint="Name a new folder with -o; --force writes the adapters among what is there.",
        )
    name = wanted.model or str(read_manifest(source).base.get("name") or "")
    pictures = _files(wanted.pictures)
    from ..exports.peft import DIFFERENCE, write_adapters
    from .loading import open_model

    loaded = open_model(name, out, device="cpu", dtype="float32")
    with out.progress() as progress:
        done = write_adapters(loaded, source, folder, pictures=pictures, tell=progress)
    if out.json:
        made = [
            {"id": one.id, "folder": str(one.folder), "answered": list(one.answered)} for one in done.made
        ]
        out.json_object(
            {"bundle": wanted.bundle, "to": str(folder), "adapters": made, "left_out": done.left_out}
        )
    else:
        for one in done.made:
            right, count = one.answered
            out.line(f"{one.folder}\t{right}/{count} wordings and views answered")
    out.say(f"exported: {len(done.made)} adapters. {DIFFERENCE}")
    _check_whole(done.left_out)


def _files(folder: str | None) -> dict[str, bytes]:
    """Every file in a folder by its sha256; UsageError where it is none."""
    import hashlib

    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise UsageError(f"--pictures {folder} is no folder.")
    try:
        found = [path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    except OSError as error:
        raise InvalidFacts(
            f"--pictures {folder}: {error.filename} cannot be read: {error.strerror}."
        ) from None
    return {hashlib.sha256(data).hexdigest(): data for data in found}


def _check_whole(left_out: Mapping[str, str]) -> None:
    """FactsDidNotTake, which ends the command with exit code 5, where facts were left out."""
    if left_out:
        names = ", ".join(list(left_out)[:10]) + (", ..." if len(left_out) > 10 else "")
        why = next(iter(left_out.values()))
        count = f"{len(left_out)} fact{'' if len(left_out) == 1 else 's'}"
        raise FactsDidNotTake(
            f"{count} left out ({names}): {why}.",
            hint="Name a folder with --pictures, or embed pictures with `okedit edit --with-sources`.",
        )
