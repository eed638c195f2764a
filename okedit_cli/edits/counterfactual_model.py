"""The two networks of SERAC: a classifier of scope over vectors, and a small model that answers.

Scope: a text vector, and a picture's, are mapped to where squared distances count; exp(-distance) is the
probability that a question lies in an edit's scope (LiveEdit's and EasyEdit's multimodal form). The small
model reads the edit's prompt and answer and the question as tokens, in the base model's own frozen
embeddings, and says an answer: a transformer of a few layers whose words are the vocabulary's or copied
from what it reads (a pointer-generator, See et al. 2017). Not here: which edits there are
(counterfactual.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

PARTS = 4  # of what is read: the edit's prompt, its answer, the question, and what has been said


@dataclass(frozen=True)
class Sizes:
    """Of both networks: widths of text and picture vectors, of the space of scope, of the base model's
    embeddings; the small model's width, layers and heads; positions that are told apart in a part.
    """

    text: int
    picture: int
    scope: int
    embedding: int
    width: int
    layers: int
    heads: int
    positions: int


class Scope(nn.Module):
    """One channel of the classifier: vectors [n, d] to points [n, k]."""

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        self.straight = nn.Parameter(F.normalize(torch.randn(points, width), dim=1) * BEGIN)
        self.down = nn.Parameter(torch.randn(points, width) / width**0.5)
        self.up = nn.Parameter(torch.zeros(points, points))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Points of vectors, whatever their length."""
        x = F.normalize(vectors.float(), dim=-1)
        return x @ self.straight.T + F.gelu(x @ self.down.T) @ self.up.T


BEGIN = 1.5  # length of the rows that a channel begins with: near texts lie in each other's scope, others not
MUCH = 1e4  # a logit that leaves a column out
EPSILON = 1e-9


class SmallModel(nn.Module):
    """Reads parts of tokens, and says the next token of the last part."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        d, layers = sizes.width, sizes.layers
        self.sizes = sizes

        def weights(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) / shape[-1] ** 0.5)

        self.into, self.out_of = weights(d, sizes.embedding), weights(sizes.embedding, d)
        self.parts = nn.Parameter(torch.randn(PARTS, d))
        self.places = nn.Parameter(torch.randn(sizes.positions, d))
        self.begin = nn.Parameter(torch.randn(d))
        self.qkv, self.joined = weights(layers, 3 * d, d), weights(layers, d, d)
        self.up, self.down = weights(layers, 4 * d, d), weights(layers, d, 4 * d)
        self.before = nn.Parameter(torch.ones(2 * layers + 1, d))
        self.ask, self.answer = weights(d, d), weights(d, d)
        self.copies = nn.Parameter(torch.zeros(d))

    def forward(
        self, table: torch.Tensor, ids: torch.Tensor, parts: torch.Tensor, places: torch.Tensor, said: int
    ) -> torch.Tensor:
        """log p of the tokens that follow [B, said + 1, V]. `table` [V, D]: the frozen embeddings; ids, parts
        and places [B, L] of what is read, padded on the left with part -1; the last `said` columns are what
        has been said, before which stands the beginning.
        """
        x, seen = self._read(table, ids, parts, places, said)
        source = ids.shape[1] - said
        last = x[:, source:]
        scores = (last @ self.ask.T) @ (x[:, :source] @ self.answer.T).mT / self.sizes.width**0.5
        scores = scores.masked_fill(~seen[:, None, :source], -MUCH).softmax(-1).float()
        own = F.linear(last @ self.out_of.T, table.to(last.dtype)).float().softmax(-1)
        share = (last.float() @ self.copies + 1.0).sigmoid()[..., None]  # copying is likelier to begin with
        where = ids[:, None, :source].expand(-1, said + 1, -1)
        return ((1 - share) * own).scatter_add(-1, where, share * scores).clamp(min=EPSILON).log()

    def _read(self, table, ids, parts, places, said: int) -> tuple[torch.Tensor, torch.Tensor]:
        """States [B, L + 1, d] with the beginning in its place, and which columns hold anything."""
        d, heads = self.sizes.width, self.sizes.heads
        x = F.rms_norm(F.embedding(ids, table).float() @ self.into.T, (d,))  # no louder than part and place
        x = x + self.parts[parts.clamp(min=0)] + self.places[places.clamp(max=self.sizes.positions - 1)]
        source, count = ids.shape[1] - said, ids.shape[1] + 1
        x = torch.cat([x[:, :source], self.begin.expand(len(x), 1, d), x[:, source:]], 1)
        seen = torch.cat([parts[:, :source] >= 0, parts.new_ones(len(x), said + 1).bool()], 1)
        order = torch.arange(count, device=ids.device)
        open_ = (order[None, :] < source) | (order[None, :] <= order[:, None])  # what is read sees all of it
        open_ = open_[None, None] & seen[:, None, None] | torch.eye(
            count, dtype=torch.bool, device=ids.device
        )
        for n in range(self.sizes.layers):
            y = F.rms_norm(x, (d,), self.before[2 * n])
            q, k, v = (y @ self.qkv[n].T).view(len(x), count, 3, heads, -1).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=open_)
            x = x + y.transpose(1, 2).reshape(x.shape) @ self.joined[n].T
            y = F.rms_norm(x, (d,), self.before[2 * n + 1])
            x = x + F.gelu(y @ self.up[n].T) @ self.down[n].T
        return F.rms_norm(x, (d,), self.before[-1]), seen


class Networks(nn.Module):
    """Both channels of scope and the small model."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.text, self.picture = Scope(sizes.text, sizes.scope), Scope(sizes.picture, sizes.scope)
        self.model = SmallModel(sizes)

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor], heads: int) -> Networks:
        """The networks of these tensors; KeyError, ValueError or RuntimeError where they are none."""
        layers, d, _ = tensors["model.joined"].shape
        sizes = Sizes(
            text=tensors["text.straight"].shape[1], picture=tensors["picture.straight"].shape[1],
            scope=len(tensors["text.straight"]), embedding=tensors["model.into"].shape[1], width=d,
            layers=layers, heads=heads, positions=len(tensors["model.places"]),
        )  # fmt: skip
        if heads < 1 or d % heads:
            raise ValueError(f"{heads} heads")
        with torch.random.fork_rng(devices=[]):
            networks = cls(sizes)
        networks.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        return networks.eval().requires_grad_(False)

    def told(self) -> dict[str, int]:
        """The sizes, for a card."""
        return asdict(self.sizes)


def laid_out(read: Sequence[Sequence[Sequence[int]]], said: int) -> tuple[torch.Tensor, ...]:
    """ids, parts and places [B, L] of rows of parts of ids, padded on the left; what has been said is filled
    up on the right to `said` ids, which nothing before them sees.
    """
    rows = []
    for row in read:
        filled = [*row[:-1], [*row[-1], *[0] * (said - len(row[-1]))]]
        rows.append([(token, n, place) for n, ids in enumerate(filled) for place, token in enumerate(ids)])
    longest = max(map(len, rows))
    padded = [[(0, -1, 0)] * (longest - len(row)) + row for row in rows]
    whole = torch.tensor(padded, dtype=torch.int64).reshape(len(rows), longest, 3)
    return tuple(whole.unbind(-1))
