"""An edit as its site has it: what the feed-forward output map of one layer receives from the prompt's last
token on, what the feed-forward part gives there, and the answer part ready to be run from that layer
upwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.errors import UsageError
from okedit_cli.methods.tuning import located
from okedit_cli.models.encode import answer_ids
from okedit_cli.models.hooks import of_this_thread
from okedit_cli.models.points import Point
from okedit_cli.models.sites import decoder_layers, mlp_of
from okedit_cli.models.suffix import Suffix, read_prompts, run_suffix

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample


@dataclass
class AtSite:
    """One edit: `received` [T, in] by the output map, `given` [T, d] by the feed-forward part, unchanged. The
    first of the T tokens is the prompt's last, the others are the answer's.
    """

    loaded: LoadedModel
    layer: int
    suffix: Suffix
    received: torch.Tensor
    given: torch.Tensor

    def loss(self, change: torch.Tensor, end: bool = True) -> torch.Tensor:
        """Mean cross-entropy of the answer's tokens with a change [T, d] of what the feed-forward part gives;
        `end`: with the token that ends the turn.
        """
        logits = run_suffix(self.loaded, self.suffix, lambda x: change[None]).float()
        kept = max(1, logits.shape[1] - (not end))
        return F.cross_entropy(logits[0, :kept], self.suffix.targets[0, :kept])


@torch.no_grad()
def at_site(loaded: LoadedModel, sample: Sample, layer: int) -> AtSite:
    """Read an edit up to the site, once for all steps of fitting."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module, args, output) -> None:
            whole = output[0] if isinstance(output, tuple) else output
            seen[name] = (args[0] if name == "received" else whole)[0].detach().clone()

        return of_this_thread(hook)

    parts = {
        "received": located(loaded, Point(layer, "mlp_out")).module,
        "given": mlp_of(decoder_layers(loaded.model)[layer]),
    }
    with ExitStack() as stack:
        for name, module in parts.items():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        question, answer = (sample.prompt, sample.picture), answer_ids(loaded, sample.target)
        suffix = read_prompts(loaded, [question], [answer], layer)
    # what was seen last is the answer part, as it was read without a change
    return AtSite(loaded, layer, suffix, seen["received"].float(), seen["given"].float())


def layer_at(loaded: LoadedModel, wanted: int | str, depth: float) -> int:
    """The layer asked for, or the one at this depth (0 to 1) of the decoder, below the last: what is changed
    in the last layer at one token is seen by no other. UsageError: no such layer.
    """
    count = len(decoder_layers(loaded.model))
    if wanted == "auto":
        return max(0, min(count - 2, round(depth * count)))
    if not 0 <= int(wanted) < count:
        raise UsageError(
            f"Layer {wanted} cannot carry edits of {loaded.name}.", hint=f"Take one from 0 to {count - 1}."
        )
    return int(wanted)


def at_least(settings: object, **bounds: float) -> None:
    """UsageError for a setting below its bound."""
    for name, bound in bounds.items():
        value = getattr(settings, name)
        if not bound <= value < float("inf"):
            raise UsageError(f"{name} is {value}, expected a number of at least {bound:g}.")
