"""The pair classifier: does a query ask for what a fact's prompt asks for, for what follows from it, or
neither?

A cross-encoder of all-MiniLM-L6-v2's size: [CLS] prompt [SEP] query [SEP] -> three logits. A token's
segment also tells whether its word stands in the other text, so that names that were never seen can be
compared. Trained by tools/scope/train_pairs.py; its weights (eight bits) lie beside this file, word
embeddings are those of the sentence encoder. Not here: which pairs are judged, and what follows from a
class (scope/).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from okedit_cli.bounded import LONGEST as LONGEST_KEPT
from okedit_cli.bounded import Bounded, remembering
from okedit_cli.models import sentences
from okedit_cli.models.sentences.packed import PackedBert

CLASSES = ANSWERS, FOLLOWS, OTHER = 0, 1, 2
LONGEST = 160  # tokens of a prompt and a query together
WEIGHTS = Path(__file__).with_name("pair.safetensors")
TOGETHER, KEPT = 32, 50_000  # pairs that are read at a time, and whose logits are remembered
DECIMALS = 3  # of a logit; what a batch changes is a thousandth of that
_SHARED = ("bert.embeddings.word_embeddings", "bert.embeddings.position_embeddings")


class PairClassifier(nn.Module):
    """Token ids, segments and mask [n, L] -> logits [n, 3] over CLASSES."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert
        segments = bert.embeddings.token_type_embeddings.weight.detach()
        bert.embeddings.token_type_embeddings = nn.Embedding.from_pretrained(
            segments[[0, 1, 0, 1]], freeze=False
        )
        self.head = nn.Linear(2 * sentences.WIDTH, len(CLASSES))
        self._packed: PackedBert | None = None

    def forward(self, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        """Logits from the first token and the mean of all."""
        if self._packed is None:
            states = self.bert(input_ids=ids, token_type_ids=segments, attention_mask=mask).last_hidden_state
        else:
            states = self._packed(ids, mask, segments)
        weights = mask[..., None].to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1)
        return self.head(torch.cat([states[:, 0], mean], 1))

    def for_use(self) -> PairClassifier:
        """The same, which is trained no more."""
        self.eval().requires_grad_(False)
        self._packed = PackedBert(self.bert)
        return self

    def load_quantised(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `quantised` gave."""
        state = self.state_dict()
        for name, value in tensors.items():
            if name.endswith(".scale"):
                continue
            scale = tensors.get(f"{name}.scale")
            state[name] = value.float() if scale is None else value.float() * scale.float()[:, None]
        self.load_state_dict(state, assign=True)


def quantised(model: PairClassifier) -> dict[str, Tensor]:
    """Every tensor but those shared with the sentence encoder: matrices as int8 with a scale a row, the
    rest fp16.
    """
    out: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name.startswith(_SHARED) or not value.is_floating_point():
            continue
        if value.dim() == 2 and min(value.shape) > 8:
            scale = (value.abs().amax(1) / 127).clamp_min(1e-12)
            out[name] = (value / scale[:, None]).round().to(torch.int8)
            out[f"{name}.scale"] = scale.float()
        else:
            out[name] = value.half()
    return {name: value.contiguous() for name, value in out.items()}


def pair_ids(tokenizer, prompt: str, query: str) -> tuple[list[int], list[int]]:
    """Token ids and segments: 0 and 1 for the prompt's and the query's, 2 and 3 where the word is in both."""
    row = tokenizer.encode(prompt, query)
    spelled: dict[tuple[int, int], str] = {}
    places = list(zip(row.sequence_ids, row.word_ids, row.tokens, strict=True))
    for text, word, token in places:
        if text is not None:
            spelled[text, word] = spelled.get((text, word), "") + token
    words = [{spelling for (of, _), spelling in spelled.items() if of == text} for text in (0, 1)]
    segments = [
        kind + 2 * (text is not None and spelled[text, word] in words[1 - text])
        for kind, (text, word, _) in zip(row.type_ids, places, strict=True)
    ]
    return row.ids, segments


def question_bert():
    """(tokenizer, BertModel) of the question encoder, new each time: what training goes on from."""
    return sentences.question_encoder()


_judged = Bounded()  # (pair, weights) -> logits


@functools.cache
def _classifier(weights: Path):
    """(tokenizer, classifier) as shipped."""
    from safetensors.torch import load_file

    tokenizer, bert = sentences.plain_encoder()
    tokenizer.enable_truncation(LONGEST, strategy="longest_first")
    model = PairClassifier(bert)
    model.load_quantised(load_file(weights))
    return tokenizer, model.for_use()


@remembering(50_000)
def fits(prompt: str, query: str) -> bool:
    """Whether a pair is read whole: within LONGEST tokens."""
    if len(prompt) + len(query) + 3 <= LONGEST:  # a token is a sign at least
        return True
    return not _classifier(WEIGHTS)[0].encode(prompt, query).overflowing


def padded(rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, segments and mask [n, L] of pair_ids of several pairs, padded behind."""
    longest = max(len(ids) for ids, _ in rows)

    def filled(row: list[int]) -> list[int]:
        return row + [0] * (longest - len(row))

    ids = torch.tensor([filled(ids) for ids, _ in rows])
    segments = torch.tensor([filled(segments) for _, segments in rows])
    return ids, segments, torch.tensor([filled([1] * len(ids)) for ids, _ in rows])


@torch.inference_mode()
def logits_of(model: PairClassifier, tokenizer, pairs: Sequence[tuple[str, str]]) -> Tensor:
    """Logits [n, 3] of (prompt, query) pairs in their order; pairs of like length are read together."""
    rows = [pair_ids(tokenizer, *pair) for pair in pairs]
    order = sorted(range(len(rows)), key=lambda place: len(rows[place][0]))
    out = torch.zeros(len(rows), len(CLASSES))
    for start in range(0, len(order), TOGETHER):
        part = order[start : start + TOGETHER]
        out[part] = model(*padded([rows[place] for place in part])).float()
    return out


def judge_pairs(pairs: Sequence[tuple[str, str]], weights: Path = WEIGHTS) -> Tensor:
    """Log probabilities [n, 3] over CLASSES of (prompt, query) pairs.

    Pairs are read together, since that takes half the time; logits are rounded to more than what that
    changes, so that none depends on another.
    """
    found = {pair: _judged[pair, weights] for pair in pairs if (pair, weights) in _judged}
    new = [pair for pair in dict.fromkeys(pairs) if pair not in found]
    if new:
        tokenizer, model = _classifier(weights)
        for pair, logits in zip(new, logits_of(model, tokenizer, new).round(decimals=DECIMALS), strict=True):
            found[pair] = logits
            if len(pair[0]) + len(pair[1]) <= LONGEST_KEPT:
                _judged.put((pair, weights), logits, 1, KEPT)
    rows = [found[pair] for pair in pairs]
    return F.log_softmax(torch.stack(rows) if rows else torch.zeros(0, len(CLASSES)), 1)
