"""The loop of training: steps until a time or a number of them is used up, with checkpoints to go on from.

What a step draws depends on its number and the seed alone, so that a run that was interrupted goes on as if
it had not been.
"""

from __future__ import annotations

import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from okedit_cli.errors import InvalidBundle, UsageError
from okedit_cli.methods.trained.files import write_tensors

EVERY = 60.0  # seconds between checkpoints
KEPT = 0.98  # of the running means of losses that are shown
STATE = "okedit-training"


class Training(ABC):
    """What a method trains: `network`, whose state is the editor's file, and a step of it."""

    network: nn.Module
    optimiser: torch.optim.Optimizer

    @abstractmethod
    def step(self, chance: random.Random) -> dict[str, float]:
        """One step on cases that are drawn by `chance`; losses by name."""

    @abstractmethod
    def losses(self, cases: Sequence[Any]) -> dict[str, float]:
        """Mean losses by name on cases that are not trained on."""


@dataclass
class Progress:
    """How far a training is: steps, seconds, running means of its losses."""

    steps: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)


def train(
    training: Training,
    checkpoint: Path,
    identity: dict[str, Any],
    *,
    minutes: float,
    steps: int | None = None,
    seed: int = 0,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Go on from the checkpoint, if there is one of the same `identity`, until the minutes or steps of all
    runs together are used up. KeyboardInterrupt leaves a checkpoint; the end removes it.
    """
    progress = _resume(training, checkpoint, identity)
    saved = began = time.monotonic()
    before = progress.seconds
    try:
        while progress.seconds < minutes * 60 and (steps is None or progress.steps < steps):
            found = training.step(random.Random(f"{seed}:{progress.steps}"))
            now = time.monotonic()
            progress.steps, progress.seconds = progress.steps + 1, before + now - began
            for name, value in found.items():
                progress.losses[name] = KEPT * progress.losses.get(name, value) + (1 - KEPT) * value
            tell(progress)
            if now - saved > EVERY:
                _save(training, progress, checkpoint, identity)
                saved = now
    except KeyboardInterrupt:
        _save(training, progress, checkpoint, identity)
        raise
    return progress


def _save(training: Training, progress: Progress, checkpoint: Path, identity: dict[str, Any]) -> None:
    tensors = {f"network.{name}": one for name, one in training.network.state_dict().items()}
    for number, state in training.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{n}": torch.as_tensor(one) for n, one in state.items()}
    told = {
        "identity": identity,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "losses": progress.losses,
    }
    whole = {name: one.detach().cpu().clone().contiguous() for name, one in tensors.items()}
    write_tensors(checkpoint, whole, {STATE: json.dumps(told, sort_keys=True)})


def _resume(training: Training, checkpoint: Path, identity: dict[str, Any]) -> Progress:
    """The progress of a checkpoint, its tensors put in place; UsageError: it is of another training."""
    from safetensors import SafetensorError, safe_open

    if not checkpoint.is_file():
        return Progress()
    try:
        with safe_open(checkpoint, "pt") as file:
            told = json.loads(file.metadata()[STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, TypeError, OSError):
        raise InvalidBundle(
            f"{checkpoint} is no checkpoint.", hint="Remove it, or train with --restart."
        ) from None
    if told["identity"] != json.loads(json.dumps(identity)):
        raise UsageError(
            f"{checkpoint} is of a training with other data or settings.",
            hint="Train with the same, or begin anew with --restart.",
        )
    network = {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
    training.network.load_state_dict(network)
    state = training.optimiser.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, number, part = name.split(".", 2)
            state["state"].setdefault(int(number), {})[part] = tensor
    training.optimiser.load_state_dict(state)
    return Progress(told["steps"], told["seconds"], told["losses"])
