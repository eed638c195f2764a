"""SCR, selective contextual reasoning: the model itself says which retrieved fact bears on a question.

As published: the nearest facts are retrieved, the model is told them and the question and repeats the one
that tells what is asked, or says that none does (greedy, 50 tokens; "no relevant fact", "no relevant
information" and "false" mean none); then the question is asked with that fact, or as it is. What differs:
okedit's text encoder retrieves in place of Contriever, and pictures by the model's own tower; the prompts are
in okedit's words. `gate=likelihood` is a variant and no part of the publication, since small models repeat
whatever they are told: a fact is confirmed where "yes" behind the question whether it bears on what is asked
is likelier than for a few ordinary questions that no fact is about. Both gates judge words alone: a question
that another picture is asked, too, is confirmed as well. `python -m tools.bench.gates` measures them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from okedit_cli.edits.memory import GATES
from okedit_cli.methods.base import Computed, Options
from okedit_cli.methods.memories import remembered
from okedit_cli.methods.registry import Method

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

_FORMS = ("context", "bare")


@dataclass(frozen=True)
class ScrSettings:
    """The words gate is the published one; how many facts are retrieved is okedit's choice."""

    top_k: int = field(default=3, metadata={"help": "facts that are retrieved"})
    form: str = field(
        default="context",
        metadata={"help": "context: the question says to go by the fact; bare: it follows it"},
    )
    gate: str = field(
        default="words", metadata={"help": "words: the model repeats the fact; likelihood: of yes against no"}
    )

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}, expected at least 1")
        for name, known in (("form", _FORMS), ("gate", GATES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected {' or '.join(known)}")


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """A memory that puts a fact before a question where the model confirms it."""
    settings = options.settings
    site = {"top_k": settings.top_k, "form": settings.form, "gate": settings.gate}
    return remembered(loaded, facts, options, site, confirm=True)


METHOD = Method(
    "scr", "memory", compute, "puts a retrieved fact before a question where the model confirms it",
    "SCR, selective contextual reasoning (He et al. 2025, arXiv 2503.05212)", ScrSettings,
    costs="no computing; a question costs another answer, of up to 50 tokens",
)  # fmt: skip
