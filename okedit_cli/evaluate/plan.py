"""Which edits are in the model when which cases are scored: single edits, many at once, VLKEB's gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from okedit_cli.errors import UsageError
from okedit_cli.evaluate.case import Case
from okedit_cli.evaluate.grid import in_order

Mode = Literal["single", "sequential", "bundle"]


@dataclass(frozen=True)
class Plan:
    """What is run. The seed alone orders the cases, so that the order of the file does not matter."""

    mode: Mode = "single"
    edits: tuple[int, ...] = ()  # sequential: how many edits at once, each number a stage; () is all cases
    gaps: tuple[int, ...] = ()  # sequential: case i is scored again after i + gap edits
    seed: int = 0
    forced: bool = True  # teacher forcing beside generation
    sample: int | None = None  # of many edits at once so many are scored; None: all

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON has it; what was not asked for is left out."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in plain.items() if k != "sample" or v is not None}


@dataclass(frozen=True)
class Stage:
    """One state of the model: the edits in it, and the cases that are scored then. `label` is reported."""

    label: str
    edits: tuple[Case, ...]
    scored: tuple[Case, ...]
    within: tuple[Case, ...]

    @property
    def name(self) -> str:
        """Unique among a run's stages; the same in every shard of a bundle's cases."""
        first = self.edits if self.label == "bundle" else self.scored
        return f"{self.label}:{len(self.edits)}:{first[0].id if first else ''}"


def stages(cases: Sequence[Case], plan: Plan, part: range | None = None) -> list[Stage]:
    """The stages of a run in order; of a `part`, the places of cases in that order, those that score them.

    UsageError: more edits or a longer gap than there are cases; a part of edits that are held together.
    """
    order = tuple(in_order(cases, plan.seed))
    scored = order if part is None else tuple(order[place] for place in part)
    if plan.mode == "bundle":
        return [Stage("bundle", order, scored, order)]
    if plan.mode == "single":
        return [Stage("single", (case,), (case,), (case,)) for case in scored]
    if part is not None:
        raise UsageError(
            "--sequential holds all edits in one model, so that its cases cannot be shared out.",
            hint="Fit them with `okedit edit --ray` or --shard, and evaluate the bundle with -b, which can.",
        )
    counts = sorted(set(plan.edits)) or [len(order)]
    if counts[0] < 1 or counts[-1] > len(order):
        raise UsageError(
            f"--edits {counts[-1] if counts[0] > 0 else counts[0]}: there are {len(order)} cases."
        )
    whole = order[: counts[-1]]
    found = [
        Stage(f"sequential {count}", whole[:count], whole[:count][: plan.sample], whole[:count])
        for count in counts
    ]
    for gap in sorted(set(plan.gaps)):
        if not 0 < gap < len(whole):
            raise UsageError(f"--gap {gap}: expected 1 to {len(whole) - 1} with {len(whole)} edits.")
        for place in range(len(whole) - gap):
            edits = whole[: place + 1 + gap]
            found.append(Stage(f"gap {gap} of {len(whole)}", edits, (whole[place],), whole))
    return found
