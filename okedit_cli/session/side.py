"""Side memories in a model's forward passes: changes of a weight that act for the rows routed to them alone.

After WISE (Wang et al., NeurIPS 2024): a gated delta (edits/delta.py) stands beside the map it changes.
Where a row's verdict names its bundle, the change is added to what the map gives from the prompt's last
token on, so that the answer goes on with the same weights; every other row gets the base model's very
output. Not here: who is routed to it (scope/activation.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.errors import UsageError
from okedit_cli.models.compiled import untraced
from okedit_cli.models.points import Point, weight_at

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.scope.verdict import Verdict
    from okedit_cli.session.gate import Call


def hook_sides(loaded: LoadedModel, bundles: Sequence[Bundle], call: Call) -> list[Any]:
    """Handles of the hooks of those of the attached bundles that are gated deltas."""
    handles = []
    for number, bundle in enumerate(bundles):
        if bundle.edits.kind == "delta" and bundle.edits.gated:
            [(site, change)] = bundle.edits.changes.items()
            module = weight_at(loaded.model, Point.parse(site)).module
            handles.append(module.register_forward_hook(untraced(_adding(change.whole().T, number, call))))
    return handles


def check_rows(verdicts: Sequence[Verdict], output: torch.Tensor) -> None:
    """UsageError unless there is a verdict for every row of an output [B, L, d]."""
    if len(output) != len(verdicts):
        raise UsageError(
            f"{len(verdicts)} prompts were read and the answer has {len(output)} rows, so edits cannot be"
            " told apart.",
            hint="While bundles are attached, let each prompt be its own row from the start.",
        )


def _adding(matrix: torch.Tensor, number: int, call: Call) -> Callable[..., Any]:
    """A hook that adds x @ matrix [in, out] for the rows that are routed to the bundle of this number."""

    def hook(module: Any, args: tuple, output: torch.Tensor) -> torch.Tensor | None:
        if call.deep or call.starts is None:
            return None
        rows = [i for i, verdict in enumerate(call.verdicts) if verdict.hit and verdict.hit.number == number]
        if not rows:
            return None
        check_rows(call.verdicts, output)
        added, changed = matrix.to(output.device), output.clone()
        for i in rows:
            start = call.starts[i]
            changed[i, start:] += (args[0][i, start:].to(added.dtype) @ added).to(output.dtype)
        return changed

    return hook
