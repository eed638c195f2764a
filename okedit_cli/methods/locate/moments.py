"""The second moment of keys, E[k k^T], of a layer's feed-forward output map: what an edit has to preserve.

Keys are read on the questions of okedit's bank (published: Wikipedia), several to a prompt. About ten times
as many tokens as a key is wide are enough, where the bank has so many. What was read is kept in okedit's
home, under the content of the model's weights and tokenizer, the layer, the corpus and the number of tokens;
a file that is not what its name says is read anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from okedit_cli.methods.tuning import located
from okedit_cli.models.encode import encode
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.packages import okedit_home
from okedit_cli.models.points import Point

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

TIMES = 10  # tokens for each coordinate of a key
LENGTH = 96  # tokens of questions in a prompt: the template's own, which all prompts share, count little then
ROWS = 8  # prompts that are read as one batch
STRIDE = 97  # wordings of one intent stand together in the bank; this takes them apart
FORM = "1"  # of the corpus and the file; another reads everything anew


@dataclass(frozen=True, eq=False)
class Moment:
    """E[k k^T] [d, d] in double precision, and over how many tokens."""

    matrix: torch.Tensor
    tokens: int


def moments(
    loaded: LoadedModel,
    layers: Sequence[int],
    tokens: int = 0,
    tell: Callable[[str, int, int], None] = lambda *told: None,
) -> dict[int, Moment]:
    """The moments of layers, from okedit's home or read on the corpus and kept there. The model must be the
    base model. `tokens`: how many to read, 0 for TIMES a key's width.
    """
    widths = {layer: located(loaded, Point(layer, "mlp_out")).shape[1] for layer in layers}
    tokens = tokens or TIMES * max(widths.values())
    paths = {layer: _path(loaded, layer, tokens) for layer in layers}
    found = {layer: _kept(paths[layer], widths[layer]) for layer in layers}
    missing = [layer for layer in layers if found[layer] is None]
    if missing:
        for layer, moment in _read(loaded, missing, tokens, tell).items():
            found[layer] = moment
            _keep(paths[layer], moment)
    return found


def corpus() -> list[str]:
    """The bank's questions, neighbours of unlike intents."""
    from okedit_cli.bank import load_bank

    wordings = [words for group in load_bank().questions for words in group.wordings]
    while len(wordings) % STRIDE == 0:  # so that every one is met
        wordings.pop()
    return [wordings[i * STRIDE % len(wordings)] for i in range(len(wordings))]


def prompts(loaded: LoadedModel, tokens: int) -> list[str]:
    """Prompts of several questions each, of about so many tokens together, or all there are."""
    out, words, length, count = [], [], 0, 0
    for text in corpus():
        own = len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
        if words and length + own > LENGTH:
            out.append(" ".join(words))
            words, length = [], 0
        words.append(text)
        length, count = length + own, count + own
        if count >= tokens:
            break
    return [*out, " ".join(words)]


class _Read(Exception):
    """The last layer that was asked for has been read."""


@torch.no_grad()
def _read(
    loaded: LoadedModel, layers: Sequence[int], tokens: int, tell: Callable[[str, int, int], None]
) -> dict[int, Moment]:
    """Moments of layers over the corpus, up to so many tokens."""
    sums: dict[int, torch.Tensor] = {}
    texts, count, mask = prompts(loaded, tokens), 0, torch.zeros(0)

    def add(layer: int) -> Callable:
        def hook(module, args):
            keys = args[0].reshape(*mask.shape, -1)[mask].float()
            square = (keys.T @ keys).cpu().double()
            sums[layer] = square if layer not in sums else sums[layer] + square
            if layer == max(layers):
                raise _Read  # nobody looks at what the model would go on to say

        return hook

    with ExitStack() as stack:
        for layer in layers:
            module = located(loaded, Point(layer, "mlp_out")).module
            stack.callback(module.register_forward_pre_hook(add(layer)).remove)
        for start in range(0, len(texts), ROWS):
            tell("reading the corpus", start, len(texts))
            batch = encode(loaded, [(text, None) for text in texts[start : start + ROWS]])
            mask = batch["attention_mask"].bool()
            count += int(mask.sum())
            with suppress(_Read):
                loaded.forward(**batch)
    tell("reading the corpus", len(texts), len(texts))
    # in the precision of the file, so that the first edit is made with what later ones find
    return {layer: Moment(_rounded(whole / count), count) for layer, whole in sums.items()}


def _rounded(matrix: torch.Tensor) -> torch.Tensor:
    """A moment as it is kept: symmetric to the last bit, of fp32 values."""
    return ((matrix + matrix.T) / 2).float().double()


def _path(loaded: LoadedModel, layer: int, tokens: int) -> Path:
    """Where a moment is kept: the name says of what it is."""
    known = fingerprint(loaded)
    template = str(known["chat_template"])
    read = hashlib.sha256("\n".join([FORM, known["tokenizer"], template, *corpus()]).encode()).hexdigest()
    return okedit_home() / "moments" / f"{known['weights'][:24]}-{layer}-{read[:16]}-{tokens}.safetensors"


def _kept(path: Path, width: int) -> Moment | None:
    """The moment in a file; None where there is none, or it is not one of this width."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != path.stem or set(file.keys()) != {"moment", "tokens"}:
                return None
            matrix, tokens = file.get_tensor("moment"), file.get_tensor("tokens")
    except (OSError, SafetensorError, ValueError):
        return None
    sound = matrix.shape == (width, width) and matrix.is_floating_point() and tokens.shape == (1,)
    if not sound or not bool(torch.isfinite(matrix).all()) or int(tokens) < 1:
        return None
    matrix = matrix.double()
    if not torch.equal(matrix, matrix.T) or float(matrix.diagonal().min()) < 0:
        return None
    return Moment(matrix, int(tokens))


def _keep(path: Path, moment: Moment) -> None:
    """Write a moment, whole or not at all; a home that cannot be written to is no reason to fail."""
    from safetensors.torch import save

    tensors = {"moment": moment.matrix.float(), "tokens": torch.tensor([moment.tokens])}
    data = save(tensors, {"key": path.stem})
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        name = ""
    except OSError:
        pass
    finally:
        if name:
            Path(name).unlink(missing_ok=True)
