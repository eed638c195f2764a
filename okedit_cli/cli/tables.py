"""What `okedit edit` tells about its facts: the table, what to try next, what did not take."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..bundle.card import took_words
from ..errors import FactsDidNotTake
from .bundles import number

COLUMNS = ("id", "took", "reach", "answered", "left alone", "picture radius", "seconds")
SPARE = ("seconds", "picture radius")  # left out first where there is no room


def row(report: Any) -> list[str]:
    took = "kept out" if report.kept_out else took_words(vars(report))
    pairs = ("{}/{}".format(*report.positives), "{}/{}".format(*report.negatives))
    radius = number(report.radius) if report.reach else "-"
    return [report.id, took, report.reach or "words", *pairs, radius, f"{report.seconds:.1f}"]


def lost_lines(report: Any) -> list[str]:
    """For each near question that an edit answers too, what to write into its `keep`; and how an answer is
    held that decodings other than greedy lose.
    """
    lines = [
        f"also answers {prompt!r}; to keep it, add to keep: - {{prompt: {json.dumps(prompt)}}}"
        for prompt in report.lost
    ]
    if report.took and report.fragile:
        ways = " or ".join(report.fragile)
        lines.append(f"the answer may come out otherwise with {ways}; `verbatim: true` in its fact holds it")
    return lines


def next_command(facts: Sequence[Any], reports: Sequence[Any], target: Path, model: str | None) -> str:
    """The command that asks for the first fact that took."""
    took = {report.id for report in reports if report.took and not report.kept_out}
    fact = next((fact for fact in facts if fact.id in took), facts[0])
    words = ["okedit", "ask", fact.prompt, "-b", str(target), "--compare"]
    if fact.image is not None:
        words[3:3] = ["--image", str(fact.image)]
    if model:
        words += ["-m", model]
    return shlex.join(words)


def _by_radius(report: Any) -> bool:
    """Whether a fact was kept out since no radius separates it; edits without radii have no channel."""
    return report.kept_out and report.channel != "none"


def judge(reports: Sequence[Any]) -> None:
    """FactsDidNotTake, which ends the command with exit code 5, unless all facts took."""
    failed = [report.id for report in reports if report.kept_out or not report.took]
    if failed:
        names = ", ".join(failed[:10]) + (", ..." if len(failed) > 10 else "")
        raise FactsDidNotTake(
            f"{len(failed)} of {len(reports)} facts did not take or were kept out: {names}.",
            hint="Give more rephrases, images and keep questions"
            + ("; --over-reach keeps what was kept out." if any(map(_by_radius, reports)) else "."),
        )
