"""Where the router's borders lie, and on what data each was set: calibration.json, read once.

Not here: any number. Those of the pair classifier come with its weights.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True)
class Calibration:
    """Borders of all stages; calibration.json says what each was set on.

    text_radius: distance of unit vectors in the question encoder. answers: log odds of the pair classifier.
    candidates: judged by the classifier at most. plausible: log odds below `answers` down to which a fact
    counts as one that may be meant. wide: in picture radii, how far the verifier looks for views. steep: log
    odds by which a question's distance falls to a third (1/e). unrelated: share of unrelated pictures that
    may fire any edit.
    """

    text_radius: float
    answers: float
    candidates: int
    plausible: float
    wide: float
    steep: float
    unrelated: float


@functools.cache
def calibration() -> Calibration:
    """The shipped calibration."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return Calibration(**{name: entry["value"] for name, entry in found.items()})
