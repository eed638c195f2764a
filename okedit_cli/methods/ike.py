"""IKE, in-context knowledge editing: the fact stands before the question, after demonstrations of its use.

As published the new fact is put as "New Fact: ... Prompt: ...", before it up to 32 demonstrations that copy,
update and retain (demonstrations.py). VLKEB has 32 of them; EasyEdit none on LLaVA-OneVision and Qwen2-VL,
and so has okedit unless told. What differs: of several facts the nearest to the question is retrieved, by
text, and by picture where it has one (published evaluations put the one that is being tested, so that they
never miss); demonstrations are not chosen anew for each fact, as there is no training set to choose from.
Whatever is asked, a fact stands before it: IKE has no gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from okedit_cli.methods.base import Computed, Options
from okedit_cli.methods.demonstrations import MOST, demonstrations
from okedit_cli.methods.memories import remembered
from okedit_cli.methods.registry import Method

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel


@dataclass(frozen=True)
class IkeSettings:
    """EasyEdit's on LLaVA-OneVision and Qwen2-VL: no demonstrations; VLKEB's are 32."""

    k: int = field(default=0, metadata={"help": f"demonstrations before the fact, 0 to {MOST}"})

    def __post_init__(self) -> None:
        if not 0 <= self.k <= MOST:
            raise ValueError(f"k is {self.k}, expected 0 to {MOST}")


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """A memory that puts the nearest fact before every question."""
    site = {"top_k": 1, "form": "new fact", "demonstrations": demonstrations(options.settings.k)}
    return remembered(loaded, facts, options, site, confirm=False)


METHOD = Method(
    "ike", "memory", compute, "puts the nearest fact before every question, after demonstrations",
    "IKE (Zheng et al. 2023, arXiv 2305.12740), as VLKEB and EasyEdit have it for pictures", IkeSettings,
    costs="no computing; every question is longer by a fact and the demonstrations",
)  # fmt: skip
