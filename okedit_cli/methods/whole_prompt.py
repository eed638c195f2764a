"""Keys that a prompt's own activations are: read at one place of one layer, from the prompt with its picture.

Two points: the mean over a whole prompt of what a feed-forward part receives (BalancEdit's), and what its
output map receives at the last prompt token (GRACE's and WISE's). A prompt is read by itself, once for its
key; what a model is given in a plain forward pass is read again as it stands. The layers above are not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bounded import Bounded
from okedit_cli.models.encode import encode_row, join_rows
from okedit_cli.models.features import reading
from okedit_cli.models.kv import NAMES
from okedit_cli.models.points import LAST_TOKEN, Point, weight_at
from okedit_cli.models.sites import decoder_layers, mlp_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

WHOLE = "mean of the feed-forward input over the prompt"  # the point where keys are read, as a bundle says it
KEPT = 32 << 20  # bytes of features kept, so that one question asked again is not read again
# what a forward pass is given besides what it reads; a cache would be written to
_NO_INPUT = (*NAMES, "kwargs", "use_cache", "cache_position", "labels", "logits_to_keep")
_NO_INPUT += ("output_hidden_states", "output_attentions", "return_dict")


@torch.no_grad()
def inputs_at(loaded: LoadedModel, given: Mapping[str, Any], layer: int, point: str = WHOLE) -> torch.Tensor:
    """What the layer's feed-forward part or its output map receives [B, L, d] in a pass over what the model
    is `given`.
    """
    named = {**given, **given.get("kwargs", {})}
    inputs = {name: value for name, value in named.items() if name not in _NO_INPUT}
    if point == LAST_TOKEN:
        part = weight_at(loaded.model, Point(layer, "mlp_out")).module
    else:
        part = mlp_of(decoder_layers(loaded.model)[layer])
    with reading([part], [0], 0) as found:
        loaded.forward(**inputs, use_cache=False)
    return found[0]


def pooled(states: torch.Tensor, point: str = WHOLE) -> torch.Tensor:
    """The key [d] of one prompt's states [L, d], fp32, on the CPU; not a number of a prompt of no tokens."""
    if point == LAST_TOKEN and len(states):
        states = states[-1:]
    return states.float().mean(0).cpu()


def prompt_feature(
    loaded: LoadedModel, prompt: str, picture: Image | None, layer: int, point: str = WHOLE
) -> torch.Tensor:
    """The key [d] of a question about a picture or none."""
    batch = join_rows(loaded, [encode_row(loaded, prompt, picture)])
    return pooled(inputs_at(loaded, batch, layer, point)[0], point)


def whole_prompt(
    loaded: LoadedModel, question: str, picture: Image | None, layer: int, point: str = WHOLE
) -> torch.Tensor:
    """The key [d] of a prompt known by its question and its picture."""
    known: Bounded = loaded.cache.setdefault("whole_prompts", Bounded())
    key = (layer, point, question, id(picture))
    if key not in known:
        found = prompt_feature(loaded, question, picture, layer, point)
        known.put(key, (found, picture), found.nbytes, KEPT)  # the picture's id must not be given out again
    return known[key][0]


class Questions:
    """Questions as the sites of bundles read them: by themselves, or each with the whole of its prompt.

    Prompts in a forward pass begin with what the model was `given` and are told by their `place`, a row and
    the columns of its prompt; without one they are known by their question and picture.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.begin(None)

    def begin(self, given: Mapping[str, Any] | None) -> None:
        """Another forward pass, or None: there is none any more."""
        self.place: tuple[int, torch.Tensor] | None = None
        self._given, self._states = given, {}

    def feature(self, site: Mapping[str, Any], question: str, picture: Image | None) -> torch.Tensor:
        """The feature [d] of one prompt that a bundle's question channel judges, fp32, on the CPU."""
        where = site["key_layer"], site.get("question_point", WHOLE)
        if self.place is None:
            return whole_prompt(self.loaded, question, picture, *where)
        if where not in self._states:
            self._states[where] = inputs_at(self.loaded, self._given, *where)
        return pooled(self._states[where][self.place], where[1])
