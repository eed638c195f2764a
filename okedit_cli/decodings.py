"""Whether an answer that greedy decoding gives is given by other decodings: beams, a penalty, sampling.

One pass over the answer's own tokens tells of the penalty and of sampling what they would say, and of beams
wherever no other answer can come near; only else are beams run. Not here: which answers are right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.generate import Answer, scores
from okedit_cli.models.decode import greedy
from okedit_cli.models.encode import encode
from okedit_cli.models.reading import prompt_ids

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

BEAMS, PENALTY, TEMPERATURE = 3, 1.2, 0.7
OFTEN = 0.95  # of sampled answers that must be the greedy one
LONGEST = 256  # tokens that a rival of beams may have: longer ones are judged more mildly
MORE = 8  # tokens that beams are run for behind the answer's own
WAYS = (f"{BEAMS} beams", f"a repetition penalty of {PENALTY}", f"sampling at {TEMPERATURE}")


@torch.inference_mode()
def lost_in(
    loaded: LoadedModel, questions: Sequence[tuple[str, Image | None]], answers: Sequence[Answer]
) -> list[tuple[str, ...]]:
    """Of each answer, which must be whole, the WAYS in which the question would be answered otherwise; by
    sampling, more often than once in twenty times.
    """
    out = []
    for question, answer, rows in zip(
        questions, answers, scores(loaded, questions, [answer.ids for answer in answers]), strict=True
    ):
        rows, ids = rows.float(), torch.tensor(answer.ids, device=rows.device)
        kept = (
            _sure_of_beams(rows, ids) or beamed(loaded, question, len(ids)) == answer.text,
            _penalised(rows, ids, prompt_ids(loaded, *question)),
            float(_logs(rows / TEMPERATURE, ids).sum()) >= math.log(OFTEN),
        )
        out.append(tuple(way for way, same in zip(WAYS, kept, strict=True) if not same))
    return out


def _logs(rows: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Log probabilities [T] of the ids by logits [T, V]."""
    return torch.log_softmax(rows, -1).gather(-1, ids[:, None])[:, 0]


def _sure_of_beams(rows: torch.Tensor, ids: torch.Tensor) -> bool:
    """Whether no other answer can have as good a score: log probability by tokens. One that leaves the answer
    at a token has at most what that token leaves to others, spread over LONGEST.
    """
    logs = _logs(rows, ids)
    if float(logs.min()) <= math.log(0.5):
        return False
    rival = float(torch.log1p(-logs.double().exp().clamp_max(1 - 1e-12)).max()) / LONGEST
    return float(logs.mean()) > rival


def _penalised(rows: torch.Tensor, ids: torch.Tensor, prompt: torch.Tensor) -> bool:
    """Whether each id comes first when the prompt's and the earlier ones are made less likely."""
    seen = prompt.to(rows.device)
    for row, token in zip(rows, ids, strict=True):
        row, seen = row.clone(), seen[seen < len(row)]  # Mllama's placeholder cannot be said
        row[seen] = torch.where(row[seen] < 0, row[seen] * PENALTY, row[seen] / PENALTY)
        if int(row.argmax()) != int(token):
            return False
        seen = torch.cat([seen, token[None]])
    return True


def beamed(loaded: LoadedModel, question: tuple[str, Image | None], length: int) -> str:
    """What the model's own generate() says by beams."""
    out = greedy(loaded, encode(loaded, [question]), length + MORE, num_beams=BEAMS)
    return loaded.tokenizer.decode(out[0], skip_special_tokens=True).strip()
