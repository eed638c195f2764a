"""A text memory: what it retrieves, how it is kept, what it refuses."""

from __future__ import annotations

import pytest
import torch

from okedit_cli.edits.memory import Memory, recall
from okedit_cli.encoders.text import text_vectors
from okedit_cli.errors import InvalidBundle

PROMPTS = ("What is this cat's name?", "What is the capital of France?", "Who owns this cat?")
FACTS = [{"id": str(n), "prompt": one, "answer": f"answer {n}"} for n, one in enumerate(PROMPTS)]
RED, BLUE = torch.tensor([1.0, 0.1]), torch.tensor([0.1, 1.0])
SITE = {"top_k": 2, "form": "context", "gate": "words"}


def memory(confirm: bool = False) -> Memory:
    """Facts 0 and 2 have a picture, and 2 another one."""
    return Memory(
        text_vectors(PROMPTS), torch.stack([RED, BLUE, RED]), torch.tensor([0, 2, 2]), confirm
    )  # fmt: skip


class Said:
    """A base model that says what it is told to."""

    def __init__(self, answer: str = "", odds: dict[str, float] | None = None) -> None:
        self.answer, self.chances, self.asked = answer, odds or {}, []

    def say(self, prompts):
        self.asked += prompts
        return [self.answer] * len(prompts)

    def odds(self, prompts, answer, other):
        self.asked += prompts
        return [next((v for k, v in self.chances.items() if k in prompt), -9.0) for prompt in prompts]


def test_the_nearest_by_text_and_by_picture():
    found = memory().nearest("Tell me the name of this cat.", RED, 3)
    assert found[0][0] == 0 and found[0][1] > found[1][1]
    assert [row for row, _ in memory().nearest(PROMPTS[2], BLUE, 1)] == [2]
    assert memory().nearest(PROMPTS[0], RED, 1)[0][1] == pytest.approx(1, abs=1e-4)
    # a fact about a picture is out of reach without one
    assert [row for row, _ in memory().nearest(PROMPTS[0], None, 3)] == [1]


def test_without_a_gate_the_nearest_is_put_and_nobody_is_asked():
    base = Said()
    site = {"top_k": 1, "form": "new fact", "demonstrations": ["One.", "Two."]}
    [found] = recall(memory(), FACTS, site, [("France's capital?", None)], base)
    assert found.row == 1 and not base.asked
    assert found.prompt == "One.\n\nTwo.\n\nNew Fact: " + (
        "What is the capital of France? answer 1\nPrompt: France's capital?"
    )


def test_the_model_repeats_a_fact_or_says_that_there_is_none():
    asked = [("Whose cat is this?", RED), ("Who?", None)]
    base = Said("It says: Who owns this cat? answer 2")
    found = recall(memory(True), FACTS, SITE, asked[:1], base)
    assert [one.row for one in found] == [2] and "- Who owns this cat? answer 2" in base.asked[0]
    for said in ("No relevant fact.", "There is no relevant information", "False", " "):
        found = recall(memory(True), FACTS, SITE, asked, Said(said))
        assert [(one.row, one.prompt) for one in found] == [(None, one[0]) for one in asked]
        assert len(found[0].retrieved) == 2


def test_by_likelihood_the_surest_fact_that_gains_on_ordinary_questions():
    site = SITE | {"gate": "likelihood"}
    asked = [("Whose cat is this?", RED)]
    odds = {"answer 0\nQuestion: What colour": 0.5, "answer 2\nQuestion: What colour": -2.0}
    for first, second, row in ((0.4, -2.1, None), (0.9, -1.9, 0), (0.9, -1.0, 2)):
        base = Said(odds=odds | {"answer 0\nQuestion: Whose": first, "answer 2\nQuestion: Whose": second})
        assert recall(memory(True), FACTS, site, asked, base)[0].row == row


def test_rows_and_tensors_and_back():
    kept = memory(True).rows([2, 1])
    assert [row for row, _ in kept.nearest(PROMPTS[2], BLUE, 1)] == [0]
    assert kept.picture_owner.tolist() == [0, 0] and kept.confirm and len(kept) == 2
    again = Memory.from_tensors(kept.tensors())
    assert all(
        torch.equal(a, b) for a, b in zip(kept.tensors().values(), again.tensors().values(), strict=True)
    )
    assert len(memory().rows([])) == 0 and not memory().rows([]).nearest("Who?", None, 1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("keys", None, "missing"),
        ("keys", torch.zeros(3), "of shape"),
        ("keys", torch.zeros(3, 4, dtype=torch.int64), "dtype"),
        ("picture_owner", torch.tensor([0, 2, 3]), "not there"),
        ("picture_owner", torch.tensor([0, 2, -1]), "not there"),
        ("picture_owner", torch.tensor([0]), "not there"),
        ("picture_owner", torch.tensor([0.0, 2.0, 2.0]), "dtype"),
        ("confirm", torch.tensor([7]), "not 0 or 1"),
    ],
)
def test_tensors_that_are_none_of_a_memory(name, value, words):
    tensors = memory().tensors() | {f"memory.{name}": value}
    with pytest.raises(InvalidBundle, match=words):
        Memory.from_tensors({name: value for name, value in tensors.items() if value is not None})
