"""The file of a trained editor: its tensors, and a card that says what it was trained for and on.

A safetensors file, its matrices in fp16, named by the method and the fingerprint of the weights it was
trained for. Looked for by that name in OKEDIT_HOME/editors, where `okedit train` writes, and then among those
that come with okedit.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.errors import InvalidBundle, ModelError, ModelMismatch, OkeditError
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.packages import okedit_home

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

SHIPPED = Path(__file__).parent / "editors"
CARD = "okedit-editor"
LONGEST = 100_000_000  # bytes of a file that is read


@dataclass(frozen=True)
class EditorSettings:
    """Settings of a method with a trained editor: none but that."""

    editor: str = field(default="", metadata={"help": "file of a trained editor [the one for the model]"})


@dataclass(frozen=True, eq=False)
class Editor:
    """Tensors by name, fp32, the card, and what identifies both."""

    tensors: dict[str, torch.Tensor]
    card: dict[str, Any]
    digest: str


def file_name(method: str, loaded: LoadedModel) -> str:
    """The name under which the method's editor for this model is looked for."""
    return f"{method}-{fingerprint(loaded)['weights'][:12]}.safetensors"


def own_folder() -> Path:
    """Where `okedit train` puts editors unless told."""
    return okedit_home() / "editors"


def editor_for(method: str, loaded: LoadedModel, path: str = "") -> Editor:
    """The method's editor for this model, or the one in the file `path`. ModelError: it has not been trained;
    ModelMismatch: that file is of another model or method.
    """
    name = file_name(method, loaded)
    places = [Path(path).expanduser()] if path else [own_folder() / name, SHIPPED / name]
    found = next((place for place in places if place.is_file()), None)
    if found is None and path:
        raise ModelError(f"{path} is not there.", hint=_train(method, loaded))
    if found is None:
        raise ModelError(f"{method} is not trained for {loaded.name}.", hint=_train(method, loaded))
    editor = read_editor(found)
    wanted = {"method": method, "weights": fingerprint(loaded)["weights"]}
    told = {"method": editor.card.get("method"), "weights": editor.card.get("base", {}).get("weights")}
    for what in wanted:
        if told[what] != wanted[what]:
            raise ModelMismatch(
                f"{found.name} was trained for the {what} {str(told[what])[:12]}, expected"
                f" {wanted[what][:12]}.",
                hint=_train(method, loaded),
            )
    return editor


def read_editor(path: Path) -> Editor:
    """An editor's file; InvalidBundle for what is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes() if path.stat().st_size <= LONGEST else b""
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        card = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][CARD])
        if not isinstance(card, dict) or not isinstance(card.get("base", {}), dict):
            raise ValueError(CARD)
    except (SafetensorError, ValueError, KeyError, TypeError):
        raise InvalidBundle(
            f"{path.name} is no trained editor.", hint="It is a file that `okedit train` writes."
        ) from None
    whole = {name: tensor.float() for name, tensor in tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in whole.values()):
        raise InvalidBundle(f"{path.name} holds values that are not finite numbers.", hint="Train it again.")
    return Editor(whole, card, hashlib.sha256(data).hexdigest())


def write_editor(path: Path, tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> int:
    """Write an editor's file; the number of its bytes."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    halves = {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in kept.items()}
    return write_tensors(path, halves, {CARD: json.dumps(card, sort_keys=True, ensure_ascii=False)})


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], told: Mapping[str, str]) -> int:
    """Write a safetensors file whole or not at all; the number of its bytes."""
    from safetensors.torch import save

    data = save(dict(tensors), dict(told))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise OkeditError(
            f"{path} cannot be written: {error.strerror or error}.", hint="Name another place with -o."
        ) from None
    return len(data)


def _train(method: str, loaded: LoadedModel) -> str:
    return f"Train it: okedit train {method} DATA.json -m {loaded.name}."
