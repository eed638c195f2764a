"""A text memory: facts that are put into the prompt of a question they are retrieved for.

After IKE (Zheng et al. 2023) and SCR (2025): the nearest facts by text, and by picture where a fact has one,
stand before the question with demonstrations of how to use them; with `confirm` only where the model itself
says which of them bears on the question, else the question is asked as it is. Not here: reading prompts and
generating, which the session does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.base import EditSet
from okedit_cli.encoders.text import DEFAULT, text_vectors, width_of
from okedit_cli.errors import InvalidBundle

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

REMAKE = "Make the bundle again with `okedit edit`."
NO_FACT = ("no relevant fact", "no relevant information", "false")  # SCR: what the model says of no fact
CONFIRM = (
    "Facts:\n{facts}\n\nQuestion: {question}\n\nWhich of the facts tells what the question asks for?"
    " Repeat that fact. If none does, say: no relevant fact."
)
CONTEXT = "{examples}New Fact: {fact}\nPrompt: {question}"  # EasyEdit's form of IKE
BARE = "{fact} {question}"


@dataclass(eq=False)
class Memory(EditSet):
    """Keys [N, d] of the facts' texts, one each, picture keys [K, p] and the fact [K] each belongs to."""

    keys: torch.Tensor
    picture_keys: torch.Tensor
    picture_owner: torch.Tensor
    confirm: bool = False

    kind = "memory"

    @property
    def gated(self) -> bool:
        """Whether a question may be asked as it is: where the model confirms what was retrieved."""
        return self.confirm

    def __len__(self) -> int:
        return len(self.keys)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The fields as `memory.NAME`."""
        return {
            "memory.keys": self.keys,
            "memory.picture_keys": self.picture_keys,
            "memory.picture_owner": self.picture_owner,
            "memory.confirm": torch.tensor([int(self.confirm)]),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Memory:
        """A memory from its tensors; InvalidBundle names the one that is missing or has another shape."""
        wanted = {"memory.keys": 2, "memory.picture_keys": 2, "memory.picture_owner": 1, "memory.confirm": 1}
        for name, dimensions in wanted.items():
            found = tensors.get(name)
            if found is None or found.dim() != dimensions:
                shape = "missing" if found is None else f"of shape {list(found.shape)}"
                raise InvalidBundle(
                    f"tensor {name!r} is {shape}, expected {dimensions} dimensions", hint=REMAKE
                )
        keys, pictures, owner, confirm = (tensors[name] for name in wanted)
        wrong = len(owner) != len(pictures) or owner.is_floating_point() or len(confirm) != 1
        if wrong or (len(owner) and not 0 <= int(owner.min()) <= int(owner.max()) < len(keys)):
            raise InvalidBundle("tensor 'memory.picture_owner' names facts that are not there", hint=REMAKE)
        return cls(keys, pictures, owner, bool(confirm))

    def check(self, loaded: LoadedModel, site: Mapping[str, Any], shown: str) -> None:
        """The encoder must be the one that the keys were made with."""
        from okedit_cli.models.features import vector_width

        encoder = str(site.get("text_encoder", DEFAULT))
        if len(self.keys) and self.keys.shape[1] != width_of(encoder):
            raise InvalidBundle(
                f"{shown}: tensor 'memory.keys' is {self.keys.shape[1]} wide, expected {width_of(encoder)}.",
                hint=REMAKE,
            )
        if len(self.picture_keys) and self.picture_keys.shape[1] != vector_width(loaded):
            raise InvalidBundle(
                f"{shown}: tensor 'memory.picture_keys' is {self.picture_keys.shape[1]} wide, expected"
                f" {vector_width(loaded)}.",
                hint=REMAKE,
            )

    def nearest(self, question: str, picture: torch.Tensor | None, count: int, encoder: str) -> list[int]:
        """The `count` facts nearest to a question [text] and its picture's vector [p], best first.

        Cosine of texts, and of pictures where the fact has one; a fact about a picture is out of reach of a
        question without one.
        """
        if not len(self.keys):
            return []
        scores = _cosine(self.keys, text_vectors([question], encoder)[0])
        if len(self.picture_keys):
            pictured = torch.zeros(len(self.keys), dtype=torch.bool)
            pictured[self.picture_owner] = True
            if picture is None:
                scores[pictured] = -torch.inf
            else:
                away = _cosine(self.picture_keys, picture)
                best = torch.full_like(scores, -1.0).scatter_reduce_(0, self.picture_owner, away, "amax")
                scores = torch.where(pictured, scores + best, scores)
        order = scores.argsort(descending=True, stable=True).tolist()
        return [row for row in order[:count] if scores[row] > -torch.inf]


@dataclass(frozen=True)
class Recalled:
    """A question as it is put to the model, and the fact (a row) that stands in it; None: as it was asked."""

    prompt: str
    row: int | None
    retrieved: tuple[int, ...] = ()


def recall(
    memory: Memory,
    facts: Sequence[Mapping[str, Any]],
    site: Mapping[str, Any],
    question: str,
    picture: torch.Tensor | None,
    ask: Callable[[str], str],
) -> Recalled:
    """Put a question as the memory has it. `ask` generates the base model's answer to a prompt about the same
    picture; only a memory that confirms uses it.
    """
    encoder = str(site.get("text_encoder", DEFAULT))
    rows = memory.nearest(question, picture, int(site.get("top_k", 1)), encoder)
    chosen = rows[0] if rows else None
    if rows and memory.confirm:
        chosen = confirmed(rows, [sentence(facts[row]) for row in rows], question, ask)
    if chosen is None:
        return Recalled(question, None, tuple(rows))
    examples = "".join(f"{one}\n\n" for one in site.get("demonstrations") or ())
    form = BARE if site.get("form") == "bare" else CONTEXT
    prompt = form.format(examples=examples, fact=sentence(facts[chosen]), question=question)
    return Recalled(prompt, chosen, tuple(rows))


def confirmed(
    rows: Sequence[int], sentences: Sequence[str], question: str, ask: Callable[[str], str]
) -> int | None:
    """The row whose fact the model repeats when asked which one bears on the question; None: none does."""
    said = ask(CONFIRM.format(facts="\n".join(f"- {one}" for one in sentences), question=question))
    if not said.strip() or any(words in said.lower() for words in NO_FACT):
        return None
    # what is repeated may be cut or shortened: the fact that is nearest to what was said
    near = _cosine(text_vectors(list(sentences)), text_vectors([said])[0])
    return rows[int(near.argmax())]


def sentence(fact: Mapping[str, Any]) -> str:
    """A fact in one line: its prompt and its answer."""
    return f"{str(fact['prompt']).strip()} {str(fact['answer']).strip()}"


def _cosine(rows: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(rows.float(), one.float()[None], dim=1)
