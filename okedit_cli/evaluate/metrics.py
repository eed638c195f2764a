"""When an answer is right, and how sure a figure is. Pure: texts and numbers in, numbers out.

Notable choices
- Exact and contains compare normalised texts: case, accents kept apart from their form (NFKC), articles,
  punctuation and spaces. "contains" wants whole words.
- Locality compares the text as generated with the unedited model's: any change counts.
- A figure is the mean over cases of each case's mean, so that a case with ten rephrasings counts once.
- Its interval is Wilson's where every case is right or wrong, and a bootstrap over cases elsewhere: questions
  of one case are not independent.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054
RESAMPLES = 2000
FEW = 10  # cases; below it a bootstrap is much too narrow, and Wilson errs on the wide side
_TINY = 1e-12  # a share this small is none; its inverse would not add up
_ARTICLES = frozenset(("a", "an", "the"))


@dataclass(frozen=True)
class Estimate:
    """A figure between 0 and 1 with its 95 % interval, over so many cases and questions."""

    value: float
    low: float
    high: float
    cases: int
    questions: int


def normalise(text: str) -> str:
    """text without case, articles and punctuation, its words one space apart; signs of numbers stay."""
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    plain = re.sub(r"(?<=\w)['’](?=\w)", "", plain)
    kept = []
    for place, sign in enumerate(plain):
        before, after = plain[place - 1 : place] if place else "", plain[place + 1 : place + 2]
        within = sign in ".,:" and before.isdigit() and after.isdigit()
        minus = sign == "-" and after.isdigit() and not before.strip()
        kept.append(sign if within or minus or not unicodedata.category(sign).startswith("P") else " ")
    words = "".join(kept).split()
    return " ".join(word for word in words if word not in _ARTICLES) or " ".join(words) or plain


def exact(text: str, answers: Sequence[str]) -> bool:
    """Whether text is one of the answers, after normalisation."""
    return normalise(text) in {normalise(answer) for answer in answers}


def contains(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers stands in text as whole words, after normalisation."""
    said = f" {normalise(text)} "
    return any(f" {normalise(answer)} " in said for answer in answers)


def same(before: str, after: str) -> bool:
    """Whether the edit left the answer as it was: the same text, spaces at its ends aside."""
    return before.strip() == after.strip()


def wilson(right: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; (0, 1) of nothing."""
    if count <= 0:
        return 0.0, 1.0
    share, square = right / count, Z95 * Z95
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    # at 0 and 1 rounding would leave the estimate outside by an ulp
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def bootstrap(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of values, the same for any order of them."""
    import numpy as np

    if len(values) < FEW or min(values) == max(values):
        # resampling a few values, or equal ones, would claim to know more than they say
        return wilson(math.fsum(sorted(values)), len(values))
    numbers = np.sort(np.asarray(values, dtype=np.float64))
    means = _resampled(numbers[:, None], seed)[:, 0]
    low, high = np.quantile(means, (0.025, 0.975))
    mean = float(numbers.mean())
    return float(min(low, mean)), float(max(high, mean))


def _resampled(columns, seed: int):
    """Means [RESAMPLES, columns] of rows drawn with replacement."""
    import numpy as np

    chance, count = np.random.default_rng(seed), len(columns)
    # in blocks: a thousand cases at once would take tens of megabytes
    blocks = (columns[chance.integers(0, count, (100, count))].mean(axis=1) for _ in range(RESAMPLES // 100))
    return np.concatenate(list(blocks))


def estimate(by_case: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate | None:
    """The figure of scores (0 to 1) grouped by case; None when there is no score."""
    groups = [group for group in by_case if group]
    if not groups:
        return None
    # sums in a fixed order: floats do not add up the same in every order
    means = sorted(math.fsum(group) / len(group) for group in groups)
    value = math.fsum(means) / len(means)
    if all(mean in (0.0, 1.0) for mean in means):
        low, high = wilson(math.fsum(means), len(means))
    else:
        low, high = bootstrap(means, seed=seed)
    return Estimate(value, low, high, len(groups), sum(map(len, groups)))


def harmonic(values: Sequence[float]) -> float:
    """The harmonic mean; 0 when any is 0, or there is none."""
    if not values or min(values) < _TINY:
        return 0.0
    return len(values) / math.fsum(1 / value for value in values)


def harmonic_estimate(columns: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate | None:
    """Harmonic mean of the columns' means, one row a case; the interval resamples whole cases."""
    import numpy as np

    if not columns or not columns[0]:
        return None
    table = np.asarray(sorted(zip(*columns, strict=True)), dtype=np.float64)
    value = harmonic([float(mean) for mean in table.mean(axis=0)])
    if len(table) < FEW or bool((table == table[0]).all()):
        low, high = wilson(value * len(table), len(table))
    else:
        means, width = _resampled(table, seed), table.shape[1]
        whole = (means >= _TINY).all(axis=1)
        spread = np.where(whole, width / (1 / np.maximum(means, _TINY)).sum(axis=1), 0)
        low, high = (float(edge) for edge in np.quantile(spread, (0.025, 0.975)))
    return Estimate(value, min(low, value), max(high, value), len(table), table.size)
