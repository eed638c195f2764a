"""From example edits to the file of a trained editor: the loop, losses on rows held out, the card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import InvalidBundle, InvalidFacts, UsageError
from okedit_cli.methods.registry import Method, settings_of
from okedit_cli.methods.trained.cases import read_cases, sha256_of, split
from okedit_cli.methods.trained.files import file_name, own_folder, read_editor, write_editor
from okedit_cli.methods.trained.loop import Progress, train
from okedit_cli.models.fingerprint import fingerprint

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


@dataclass(frozen=True)
class Made:
    """Where the editor is, of how many bytes, and its card."""

    path: Path
    size: int
    card: dict[str, Any]


def training_settings(method: Method, settings: Sequence[str] | Mapping[str, Any]) -> Any:
    """The settings of a method's training. UsageError: one that is unknown, or a number too small."""
    own = settings_of(dataclasses.replace(method, settings=method.training), settings)
    for name, value in dataclasses.asdict(own).items():
        least = 1 if isinstance(value, int) else 0
        if isinstance(value, (int, float)) and value < least:
            raise UsageError(f"{method.name}: {name} is {value}, expected {least} or more.")
    return own


def check_data(data: Sequence[str | Path]) -> None:
    """InvalidFacts: a file of cases is not there."""
    for name in data:
        if not Path(name).is_file():
            raise InvalidFacts(f"{name} is not there, expected a data set in JSON to train on.")


def make(
    loaded: LoadedModel,
    method: Method,
    data: Sequence[str | Path],
    *,
    output: Path | None = None,
    minutes: float = 20.0,
    steps: int | None = None,
    rows: int | None = None,
    held_out: int = 10,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int = 0,
    restart: bool = False,
    tell: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Made:
    """Train the method's editor for the model on the cases of JSON files, and write it; of each file
    `held_out` rows are left to tell losses on. Goes on from a checkpoint beside the file unless `restart`.
    """
    from okedit_cli import __version__

    own = training_settings(method, settings)
    path = output or own_folder() / file_name(method.name, loaded)
    if path.is_dir():
        raise UsageError(f"{path} is a folder, expected a file.", hint="Name a .safetensors file with -o.")
    if path.exists():
        _check_target(path)
    chosen, kept, told = [], [], []
    for name in data:
        trained, left = split(read_cases(name, rows), held_out)
        if loaded.processor is None:
            trained, left = ([case for case in part if case.edit.picture is None] for part in (trained, left))
        chosen, kept = chosen + trained, kept + left
        told.append(
            {"file": Path(name).name, "sha256": sha256_of(name), "rows": len(trained), "held out": len(left)}
        )
    if not chosen:
        raise UsageError(
            f"No row is left that {loaded.name} can be trained on.",
            hint="A text-only model takes no pictures.",
        )
    identity = {
        "method": method.name, "weights": fingerprint(loaded)["weights"], "data": told,
        "settings": dataclasses.asdict(own), "seed": seed,
    }  # fmt: skip
    tell("preparing", 0, 0)
    training = method.train(loaded, chosen, own, seed)
    checkpoint = path.with_name(path.name + ".part")
    if restart:
        checkpoint.unlink(missing_ok=True)

    def show(progress: Progress) -> None:
        done, total = (progress.steps, steps) if steps else (int(progress.seconds), int(minutes * 60))
        tell("training", done, max(1, total))

    progress = train(training, checkpoint, identity, minutes=minutes, steps=steps, seed=seed, tell=show)
    tell("losses on rows held out", 0, 0)
    card = {
        "okedit": __version__, **identity, "base": fingerprint(loaded), "steps": progress.steps,
        "seconds": round(progress.seconds),
        "losses": {"trained on": _rounded(progress.losses), "held out": _rounded(training.losses(kept))},
    }  # fmt: skip
    size = write_editor(path, training.network.state_dict(), card)
    checkpoint.unlink(missing_ok=True)
    return Made(path, size, card)


def _check_target(path: Path) -> None:
    """UsageError for a file that is something else than an editor, which a new one would replace."""
    try:
        read_editor(path)
    except InvalidBundle:
        raise UsageError(
            f"{path} is there, and it is no trained editor.", hint="Name another file with -o."
        ) from None


def _rounded(losses: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in losses.items()}
