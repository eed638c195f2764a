"""A text memory: facts that are put into the prompt of a question they are retrieved for.

After IKE (Zheng et al. 2023) and SCR (He et al. 2025): the nearest facts by text, and by picture where a
fact has one, stand before the question with demonstrations of how to use them; with `confirm` only where the
model itself says which of them bears on the question, else the question is asked as it is. Not here: reading
prompts and generating, which the session does.

What is not tensors stands in the manifest's site: text_encoder; top_k, facts that are retrieved; form, one
of FORMS; gate, one of GATES; demonstrations, which stand before a fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from okedit_cli.edits.base import REMAKE, EditSet
from okedit_cli.encoders.text import DEFAULT, text_vectors, width_of
from okedit_cli.errors import InvalidBundle
from okedit_cli.models.control import with_control_token, words_for

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

NO_FACT = ("no relevant fact", "no relevant information", "false")  # SCR: what the model says of no fact
CONFIRM = (
    "Facts:\n{facts}\n\nQuestion: {question}\n\nWhich of the facts tells what the question asks for?"
    " Repeat that fact. If none does, say: no relevant fact."
)
JUDGE = "Fact: {fact}\nQuestion: {question}\nDoes the fact tell what the question asks for? Say yes or no."
YES, NO = "Yes.", "No."
ORDINARY = (  # questions that no fact is about: the most that a model thinks of one is its leaning
    "How many things are there in the picture?", "What colour is it?", "Where was this made?",
    "Which day of the week is it?",
)  # fmt: skip
FORMS = {
    "new fact": "{examples}New Fact: {fact}\nPrompt: {question}",  # EasyEdit's form of IKE
    "context": "{examples}It is a fact: {fact}\nBy this fact, answer: {question}",
    "bare": "{examples}{fact} {question}",
}
GATES = ("words", "likelihood")


class Base(Protocol):
    """The base model, asked in words alone by a memory that confirms."""

    def say(self, prompts: Sequence[str]) -> list[str]:
        """A greedy answer to each."""

    def odds(self, prompts: Sequence[str], answer: str, other: str) -> list[float]:
        """log p(answer) - log p(other) behind each."""


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
            if found.is_floating_point() != name.endswith("keys") or (
                name.endswith("owner") and found.dtype != torch.int64
            ):
                raise InvalidBundle(f"tensor {name!r} is of dtype {found.dtype}", hint=REMAKE)
        keys, pictures, owner, confirm = (tensors[name] for name in wanted)
        if len(confirm) != 1 or int(confirm) not in (0, 1):
            raise InvalidBundle("tensor 'memory.confirm' is not 0 or 1", hint=REMAKE)
        if len(owner) != len(pictures) or (
            len(owner) and not 0 <= int(owner.min()) <= int(owner.max()) < len(keys)
        ):
            raise InvalidBundle("tensor 'memory.picture_owner' names facts that are not there", hint=REMAKE)
        return cls(keys, pictures, owner, bool(confirm))

    def rows(self, kept: Sequence[int]) -> Memory:
        """The memory of these facts alone, in this order."""
        places = torch.full((len(self),), -1)
        places[list(kept)] = torch.arange(len(kept))
        owner = places[self.picture_owner]
        order = owner.argsort(stable=True)
        order = order[owner[order] >= 0]
        return Memory(self.keys[list(kept)], self.picture_keys[order], owner[order], self.confirm)

    def check(self, loaded: LoadedModel, site: Mapping[str, Any], shown: str) -> None:
        """The encoder must be the one that the keys were made with, and the site one that okedit writes."""
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
        examples = site.get("demonstrations", [])
        fine = {
            "top_k": type(site.get("top_k")) is int and site["top_k"] >= 1,
            "form": site.get("form") in FORMS,
            "gate": not self.confirm or site.get("gate") in GATES,
            "demonstrations": isinstance(examples, list) and all(isinstance(one, str) for one in examples),
        }
        if wrong := next((name for name, right in fine.items() if not right), None):
            raise InvalidBundle(f"{shown}: the site's {wrong} is not one that okedit writes.", hint=REMAKE)

    def nearest(
        self, question: str, picture: torch.Tensor | None, count: int, encoder: str = DEFAULT
    ) -> list[tuple[int, float]]:
        """The `count` facts nearest to a question [text] and its picture's vector [p], best first, each with
        its likeness (1: the same).

        Cosine of texts; where the fact has a picture the mean of that and of the cosine of pictures. A fact
        about a picture is out of reach of a question without one.
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
                alike = _cosine(self.picture_keys, picture)
                best = torch.full_like(scores, -1.0).scatter_reduce_(0, self.picture_owner, alike, "amax")
                scores = torch.where(pictured, (scores + best) / 2, scores)
        order = scores.argsort(descending=True, stable=True)[:count].tolist()
        return [(row, float(scores[row])) for row in order if scores[row] > -torch.inf]


@dataclass(frozen=True)
class Recalled:
    """A question as it is put to the model, and the fact (a row) that stands in it; None: as it was asked.
    `retrieved`: the facts that were near, best first, with their likeness.
    """

    prompt: str
    row: int | None
    retrieved: tuple[tuple[int, float], ...] = ()


def recall(
    memory: Memory,
    facts: Sequence[Mapping[str, Any]],
    site: Mapping[str, Any],
    asked: Sequence[tuple[str, torch.Tensor | None]],
    base: Base,
) -> list[Recalled]:
    """Put questions, each with its picture's vector [p] or None, as the memory has them. `facts` are the
    manifest's, a row each; `base` is asked by a memory that confirms.
    """
    encoder, count = str(site.get("text_encoder", DEFAULT)), site["top_k"]
    near = [memory.nearest(question, picture, count, encoder) for question, picture in asked]
    chosen = [found[0][0] if found else None for found in near]
    if memory.confirm:
        confirming = confirmed_by_likelihood if site["gate"] == "likelihood" else confirmed_by_words
        rows = [[row for row, _ in found] for found in near]
        chosen = confirming(rows, facts, [question for question, _ in asked], base)
    out = []
    for (question, _), row, found in zip(asked, chosen, near, strict=True):
        prompt = question if row is None else put(site, facts[row], question)
        out.append(Recalled(prompt, row, tuple(found)))
    return out


def put(site: Mapping[str, Any], fact: Mapping[str, Any], question: str) -> str:
    """A question with a fact, and the demonstrations, before it."""
    examples = "".join(f"{one}\n\n" for one in site.get("demonstrations") or ())
    return FORMS[site["form"]].format(examples=examples, fact=sentence(fact), question=question)


def confirmed_by_words(
    rows: Sequence[Sequence[int]], facts: Sequence[Mapping[str, Any]], questions: Sequence[str], base: Base
) -> list[int | None]:
    """Of the facts retrieved for each question the one that the model repeats when asked which one bears on
    it; None: none does.
    """
    sentences = [[sentence(facts[row]) for row in some] for some in rows]
    asked = [number for number, some in enumerate(rows) if some]
    prompts = [
        CONFIRM.format(facts="\n".join(f"- {one}" for one in sentences[n]), question=questions[n])
        for n in asked
    ]
    out: list[int | None] = [None] * len(rows)
    for number, said in zip(asked, base.say(prompts), strict=True):
        if said.strip() and not any(words in said.lower() for words in NO_FACT):
            # what is repeated may be cut or shortened: the fact that is nearest to what was said
            near = _cosine(text_vectors(sentences[number]), text_vectors([said])[0])
            out[number] = rows[number][int(near.argmax())]
    return out


def confirmed_by_likelihood(
    rows: Sequence[Sequence[int]], facts: Sequence[Mapping[str, Any]], questions: Sequence[str], base: Base
) -> list[int | None]:
    """Of the facts retrieved for each question the one of which the model is likeliest to say that it bears
    on it, if likelier than of every question in ORDINARY (after contextual calibration, Zhao et al. 2021;
    than of a prompt without content any question is likelier).
    """
    pairs = [(number, row) for number, some in enumerate(rows) for row in some]
    known = sorted({row for _, row in pairs})

    def odds(asked: Iterable[tuple[int, str]]) -> list[float]:
        prompts = [JUDGE.format(fact=sentence(facts[row]), question=question) for row, question in asked]
        return base.odds(prompts, YES, NO)

    ordinary = odds((row, question) for row in known for question in ORDINARY)
    step = len(ORDINARY)
    leaning = {row: max(ordinary[step * n : step * (n + 1)]) for n, row in enumerate(known)}
    best: dict[int, tuple[float, int]] = {}
    for (number, row), found in zip(pairs, odds((row, questions[n]) for n, row in pairs), strict=True):
        gained = found - leaning[row]
        if gained > max(0.0, best.get(number, (0.0, 0))[0]):
            best[number] = gained, row
    return [best[number][1] if number in best else None for number in range(len(rows))]


def check_texts(
    loaded: LoadedModel, facts: Iterable[Mapping[str, Any]], site: Mapping[str, Any], shown: str
) -> None:
    """InvalidBundle where what would be put into a prompt holds a control token of the model."""
    texts = [(f"fact {fact['id'][:40]!r}", sentence(fact)) for fact in facts]
    texts += [("a demonstration", one) for one in site.get("demonstrations") or ()]
    for what, _, token in with_control_token(loaded, texts):
        raise InvalidBundle(f"{shown}: {words_for(what, token, loaded)}.", hint=REMAKE)


def sentence(fact: Mapping[str, Any]) -> str:
    """A fact in one line: its prompt and its answer."""
    return f"{str(fact['prompt']).strip()} {str(fact['answer']).strip()}"


def _cosine(rows: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(rows.float(), one.float()[None], dim=1)
