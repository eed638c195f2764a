"""A counterfactual memory: facts, a classifier of scope, and a small model that answers in the base's place.

After SERAC (Mitchell et al., ICML 2022, arXiv 2206.06520). A question is compared with every fact; where the
nearest holds it with a probability above one half, the small model answers from that fact, and the base model
is not asked; any other question gets the base model's own answer, bit by bit. The networks come along in the
bundle, so that it needs nothing else than the base model. Not here: training them (methods/trained/serac.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.base import REMAKE, EditSet
from okedit_cli.edits.counterfactual_model import Networks, laid_out
from okedit_cli.encoders.text import DEFAULT, text_vectors, width_of
from okedit_cli.errors import InvalidBundle
from okedit_cli.models.encode import answer_ids, end_ids
from okedit_cli.models.question import question_ids

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

PREFIX = "counterfactual."
KEYS = ("keys", "picture_keys", "picture_owner")
NETWORK = f"{PREFIX}network."
HEADS = 4
RADIUS = math.log(2)  # the distance at which a question is as likely in an edit's scope as out of it
LONGEST = 120  # tokens of a text that the small model reads


@dataclass(eq=False)
class Counterfactual(EditSet):
    """Vectors [N, d] of the facts' prompts, of their pictures [K, p] and the fact [K] each belongs to, and
    the networks' tensors by name.
    """

    keys: torch.Tensor
    picture_keys: torch.Tensor
    picture_owner: torch.Tensor
    network: dict[str, torch.Tensor] = field(default_factory=dict)

    kind = "counterfactual"
    gated = True

    def __post_init__(self) -> None:
        self._networks: Networks | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def networks(self) -> Networks:
        """The networks, made when they are first asked."""
        if self._networks is None:
            self._networks = Networks.of(self.network, HEADS)
        return self._networks

    def tensors(self) -> dict[str, torch.Tensor]:
        """`counterfactual.keys`, `.picture_keys`, `.picture_owner`, and `counterfactual.network.NAME`."""
        own = {f"{PREFIX}{name}": getattr(self, name) for name in KEYS}
        return own | {f"{NETWORK}{name}": tensor for name, tensor in self.network.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Counterfactual:
        """From its tensors; InvalidBundle names the one that is missing or has another shape."""
        keys, pictures, owner = (tensors.get(f"{PREFIX}{name}") for name in KEYS)
        for name, found, dimensions in (
            ("keys", keys, 2),
            ("picture_keys", pictures, 2),
            ("picture_owner", owner, 1),
        ):
            floats = dimensions == 2
            if found is None or found.dim() != dimensions or found.is_floating_point() != floats:
                raise InvalidBundle(f"tensor {PREFIX + name!r} is missing or malformed", hint=REMAKE)
        if (
            owner.dtype != torch.int64
            or len(owner) != len(pictures)
            or (len(owner) and not 0 <= int(owner.min()) <= int(owner.max()) < len(keys))
        ):
            raise InvalidBundle(f"tensor '{PREFIX}picture_owner' names facts that are not there", hint=REMAKE)
        network = {n.removeprefix(NETWORK): t for n, t in tensors.items() if n.startswith(NETWORK)}
        made = cls(keys, pictures, owner, network)
        try:
            sizes = made.networks.sizes
        except (KeyError, ValueError, RuntimeError, IndexError):
            raise InvalidBundle(f"the tensors '{NETWORK}...' are no small model", hint=REMAKE) from None
        if keys.shape[1] != sizes.text or (len(pictures) and pictures.shape[1] != sizes.picture):
            raise InvalidBundle("its keys are not as wide as its classifier reads them", hint=REMAKE)
        return made

    def check(self, loaded: LoadedModel, site: Mapping[str, Any], shown: str) -> None:
        """The encoder, the embeddings and picture vectors must be as wide as the networks read."""
        from okedit_cli.models.features import vector_width

        sizes, encoder = self.networks.sizes, str(site.get("text_encoder", DEFAULT))
        widths = {
            "text vectors": (sizes.text, width_of(encoder)),
            "embeddings": (sizes.embedding, loaded.model.get_input_embeddings().weight.shape[1]),
        }
        if len(self.picture_keys):
            widths["picture vectors"] = (sizes.picture, vector_width(loaded))
        for what, (found, wanted) in widths.items():
            if found != wanted:
                raise InvalidBundle(
                    f"{shown}: it reads {what} of {found} numbers, expected {wanted}.", hint=REMAKE
                )

    def rows(self, kept: Sequence[int]) -> Counterfactual:
        """The facts of these rows alone, in this order."""
        places = torch.full((len(self),), -1)
        places[list(kept)] = torch.arange(len(kept))
        owner = places[self.picture_owner]
        order = owner.argsort(stable=True)
        order = order[owner[order] >= 0]
        return Counterfactual(self.keys[list(kept)], self.picture_keys[order], owner[order], self.network)

    @torch.no_grad()
    def nearest(
        self, question: str, picture: torch.Tensor | None, encoder: str = DEFAULT, count: int = 3
    ) -> list[tuple[int, float]]:
        """The `count` facts nearest to a question and its picture's vector [p], each with its distance;
        within RADIUS the question is in its scope. A fact about a picture holds no question without one.
        """
        if not len(self):
            return []
        networks = self.networks
        asked = networks.text(text_vectors([question], encoder))
        far = (networks.text(self.keys) - asked).pow(2).sum(1)
        if len(self.picture_keys):
            seen = torch.full((len(self.picture_keys),), torch.inf)
            if picture is not None:
                seen = (networks.picture(self.picture_keys) - networks.picture(picture[None])).pow(2).sum(1)
            far = far + torch.zeros_like(far).scatter_reduce(
                0, self.picture_owner, seen, "amin", include_self=False
            )
        order = far.argsort(stable=True)[:count].tolist()
        return [(row, float(far[row])) for row in order if bool(far[row].isfinite())]


class Speaker:
    """The small model about one fact: what it says to a question in the base model's place."""

    def __init__(
        self, loaded: LoadedModel, edits: Counterfactual, fact: Mapping[str, Any], question: str
    ) -> None:
        self.loaded, self.networks = loaded, edits.networks
        self.table = loaded.model.get_input_embeddings().weight.detach().float().cpu()
        self.read = reading(loaded, str(fact["prompt"]), str(fact["answer"]), question)

    @torch.no_grad()
    def answer(self, count: int, on_text: Callable[[str], None] | None = None) -> list[int]:
        """Up to `count` ids, the likeliest one after another; `on_text` receives the text."""
        said: list[int] = []
        while len(said) < count and (not said or said[-1] not in end_ids(self.loaded)):
            said.append(int(self._logs(said)[-1].argmax()))
        if on_text:
            on_text(self.loaded.tokenizer.decode(said, skip_special_tokens=True))
        return said

    @torch.no_grad()
    def scores(self, ids: Sequence[int]) -> torch.Tensor:
        """log p [T, V] before each of the ids."""
        return self._logs(list(ids)[:-1])

    def _logs(self, said: Sequence[int]) -> torch.Tensor:
        rows = laid_out([[*self.read, said]], len(said))
        return self.networks.model(self.table, *rows, len(said))[0]


def reading(loaded: LoadedModel, prompt: str, answer: str, question: str) -> list[list[int]]:
    """What the small model reads, as ids: the edit's prompt, its answer with the end, the question."""
    texts = question_ids(loaded, prompt), answer_ids(loaded, answer), question_ids(loaded, question)
    return [ids[-LONGEST:] for ids in texts]
