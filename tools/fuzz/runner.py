"""Runs cases within their limits and says what became of them."""

from __future__ import annotations

import random
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from okedit_cli.errors import OkeditError

SECONDS, BYTES = 5.0, 1 << 30
MESSAGE = 4000  # characters; a fact file may have 20 problems, each on a line


class TooLong(BaseException):
    """A case that ran out of time; no `except Exception` may swallow it."""


@dataclass
class Outcome:
    """Counts of what happened, and everything that should not have."""

    good: int = 0
    refused: int = 0
    slowest: float = 0.0
    grown: int = 0  # bytes that the process took beyond what it had at the start
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.good + self.refused + len(self.findings)} cases, {self.good} gave a result, "
            f"{self.refused} were refused, {len(self.findings)} findings; slowest {self.slowest:.2f} s, "
            f"memory grew by {self.grown / 1e6:.0f} MB"
        )


def run(make: Callable, *, seed: int, count: int, start: int = 0, only: int | None = None) -> Outcome:
    """Run `count` cases from number `start` on; `make(folder)` has case(chance) -> name, and check()."""
    outcome = Outcome()
    before = signal.signal(signal.SIGALRM, _stop)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = make(Path(scratch))
        at_first = _memory()
        for number in range(start, start + count) if only is None else [only]:
            name = cases.case(random.Random(f"{seed}:{number}"))
            began = time.perf_counter()
            try:
                if found := _tried(cases, outcome, only is not None):
                    outcome.findings.append(f"{number} ({name}): {found}")
            except TooLong:  # wherever in it the time was up
                outcome.findings.append(f"{number} ({name}): more than {SECONDS:.0f} s")
            outcome.slowest = max(outcome.slowest, time.perf_counter() - began)
            grown = _memory() - at_first
            if grown > BYTES >= outcome.grown:
                outcome.findings.append(f"{number} ({name}): memory grew by {grown / 1e9:.1f} GB")
            outcome.grown = max(outcome.grown, grown)
    signal.signal(signal.SIGALRM, before)
    return outcome


def _tried(cases, outcome: Outcome, told: bool) -> str:
    """Check one case, counting how it ended; what is wrong with that, or nothing."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        cases.check()
        signal.setitimer(signal.ITIMER_REAL, 0)
        outcome.good += 1
    except OkeditError as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        wrong = _unclear(error)
        outcome.refused += not wrong
        return f"{wrong}: {error.message[:300]!r}" if wrong else ""
    except Exception as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if told:
            traceback.print_exc()
        return _place(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _stop(*_: object) -> None:
    raise TooLong


def _memory() -> int:
    """The most memory that this process ever had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:200]} at {Path(frame.filename).name}:{frame.lineno}"


def _unclear(error: OkeditError) -> str:
    """What is wrong with how an error is told, or nothing."""
    if not error.message.strip():
        return "no words"
    return "too many words" if len(error.message) > MESSAGE else ""
