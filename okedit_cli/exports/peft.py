"""Edits of a codebook as LoRA adapters in PEFT's format, a folder each, for engines that hold adapters by
name.

A value adds `(x down^T) up + bias` to the output of a layer's feed-forward part, from what that part
receives, at the answer's tokens, and only where the scope lets it. A LoRA stands beside one linear map. So
the adapter stands beside the part's last map: its `B` is `up` and the bias, exactly; its `A` is fitted by
ridge regression to give, from what that map receives, the value's own coefficients (down x, and 1 for the
bias) at the places of the answer in the fact's wordings and views, and 0 before them. What differs from the
bundle: it is fitted to those wordings and not the value itself; it acts on every token, though on those of
prompts it learned to be nothing; nothing gates it, which is the gateway's part; no answer is held word for
word, and no note is given.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bundle import Bundle, check_fit
from okedit_cli.bundle.atomic import atomic_write
from okedit_cli.bundle.export import facts_with_pictures
from okedit_cli.bundle.site import check_site
from okedit_cli.checking import says
from okedit_cli.errors import UsageError
from okedit_cli.exports.names import folder_name
from okedit_cli.generate import generate
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.features import hidden_of
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.points import Point, Weight, weight_at
from okedit_cli.models.sites import decoder_layers, mlp_of
from okedit_cli.samples.sampler import Sample, build_samples

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

WORDINGS, NEAR = 16, 6  # samples of a fact that an adapter is fitted to: that ask for it, and that do not
RIDGE = 1e-3  # of the mean squared length of what the map receives
QUIET = 0.3  # weight of a token where the adapter is to be nothing, beside one of the answer
CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
DIFFERENCE = (
    "Fitted to the fact's wordings and views, beside one linear map; acts on every token of every prompt "
    "that is asked under it, holds no answer word for word."
)


@dataclass
class Adapter:
    """One edit's LoRA: a [r, in], b [out, r], and of the samples that ask for the fact how many are answered
    with it under the adapter (good, of all).
    """

    id: str
    a: torch.Tensor
    b: torch.Tensor
    answered: tuple[int, int] = (0, 0)
    folder: Path | None = None


@dataclass
class Adapters:
    """What came of an export; `left_out`: by fact id why there is no adapter."""

    made: list[Adapter] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def write_adapters(
    loaded: LoadedModel,
    source: Path,
    folder: Path,
    *,
    pictures: Mapping[str, bytes] | None = None,
    tell: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Adapters:
    """Write a folder for each edit of the codebook in a file, named by the edit's id, for its base model.

    UsageError: the bundle or the architecture does not allow it; ModelMismatch: another model.
    """
    bundle = Bundle.load(source, verify=True)
    _check_kind(bundle, str(source))
    check_fit(bundle.manifest, fingerprint(loaded), content=True)
    check_site(loaded, bundle)
    out = Adapters()
    with tempfile.TemporaryDirectory() as scratch:
        facts, missing = facts_with_pictures(bundle, Path(scratch), str(source), pictures)
        for row, fact in enumerate(facts):
            tell("fitting adapters", row, len(facts))
            name = str(bundle.manifest.facts[row]["id"])
            if fact.id in missing:
                out.left_out[name] = "a picture of it is not in the bundle"
                continue
            adapter, weight, path = _fitted(loaded, bundle, row, fact, name)
            adapter.folder = folder / folder_name(name)
            _write(adapter, weight, path, loaded.name)
            out.made.append(adapter)
    tell("fitting adapters", len(facts), len(facts))
    return out


def _check_kind(bundle: Bundle, shown: str) -> None:
    site, what = bundle.manifest.site, ""
    if bundle.edits.kind != "codebook":
        what = f"holds a {bundle.edits.kind}, not a codebook"
    elif not bundle.codebook.value_bias.shape[1]:
        what = "holds no values"
    elif site.get("change", "add") != "add":
        what = "replaces what comes out of its site instead of adding to it"
    if what:
        raise UsageError(
            f"{shown}: the bundle {what}, so that no LoRA can say the same.",
            hint="Export a bundle of balancedit, or use `--to memory`, which takes any.",
        )


def _map_of(loaded: LoadedModel, layer: int) -> tuple[Weight, str]:
    """The last linear map of a layer's feed-forward part, and its name in the model; UsageError without."""
    found = weight_at(loaded.model, Point(layer, "mlp_out"))
    path = next((p for p, m in loaded.model.named_modules() if found is not None and m is found.module), "")
    if found is None or not path:
        raise UsageError(
            f"{loaded.name}: layer {layer} has no single linear map at the end of its feed-forward part,"
            " beside which a LoRA could stand.",
            hint="Use `--to memory` instead.",
        )
    return found, path


def _fitted(
    loaded: LoadedModel, bundle: Bundle, row: int, fact: Fact, name: str
) -> tuple[Adapter, Weight, str]:
    layer = bundle.codebook.layer_of(row, bundle.manifest.site)
    weight, path = _map_of(loaded, layer)
    book = bundle.codebook
    down, up, bias = (t[row].float() for t in (book.value_down, book.value_up, book.value_bias))
    samples = build_samples([fact])[fact.id]
    if loaded.processor is None:
        samples = [one for one in samples if one.picture is None]
    asking = _spread([s for s in samples if s.role in ("edit", "positive")], WORDINGS)
    near = _spread([s for s in samples if s.role == "negative"], NEAR)
    received, wanted, weights = [], [], []
    for sample in (*asking, *near):
        z, x, answer = _passed(loaded, sample, layer, weight)
        coefficients = torch.cat([x @ down.T, torch.ones(len(x), 1)], 1) * answer[:, None]
        received.append(z)
        wanted.append(coefficients)
        weights.append(torch.where(answer > 0, 1.0, QUIET))
    a = _ridge(torch.cat(received), torch.cat(wanted), torch.cat(weights))
    adapter = Adapter(name, a, torch.cat([up, bias[None]]).T.contiguous())
    adapter.answered = _answered(loaded, weight, adapter, fact, asking)
    return adapter, weight, path


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """The first, and of the others some from everywhere."""
    rest = samples[1:]
    if len(samples) <= count:
        return list(samples)
    return [samples[0], *(rest[i * len(rest) // (count - 1)] for i in range(count - 1))]


@torch.inference_mode()
def _passed(
    loaded: LoadedModel, sample: Sample, layer: int, weight: Weight
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every token of a sample what the map receives [T, in] and what its part receives [T, d], and 1 where
    the answer's tokens are said [T].
    """
    ids = answer_ids(loaded, sample.target) if sample.target else []
    batch = encode(loaded, [(sample.prompt, sample.picture)], answers=[ids] if ids else None)
    seen: dict[str, torch.Tensor] = {}
    handles = [
        weight.module.register_forward_pre_hook(lambda module, args: seen.__setitem__("z", args[0])),
        mlp_of(decoder_layers(loaded.model)[layer]).register_forward_pre_hook(
            lambda module, args, kwargs: seen.__setitem__("x", hidden_of(args, kwargs)), with_kwargs=True
        ),
    ]
    try:
        loaded.model(**batch, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    z, x = (seen[name].reshape(-1, seen[name].shape[-1]).float().cpu() for name in ("z", "x"))
    answer = torch.zeros(len(z))
    if ids:
        answer[len(z) - len(ids) - 1 : len(z) - 1] = 1.0
    return z, x, answer


def _ridge(received: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The map [r, in] that gives `wanted` [n, r] of `received` [n, in] best, by weights [n]: solved among the
    tokens, of which there are fewer than numbers of a large model's.
    """
    z, y = received * weights.sqrt()[:, None], wanted * weights.sqrt()[:, None]
    products = (z @ z.T).double()
    products += torch.eye(len(z), dtype=torch.float64) * RIDGE * products.diagonal().mean()
    return (z.T.double() @ torch.linalg.solve(products, y.double())).T.float().contiguous()


@contextmanager
def under(weight: Weight, adapter: Adapter) -> Iterator[None]:
    """Context: the map as an engine runs it with the adapter."""

    def add(module: Any, args: tuple, output: torch.Tensor) -> torch.Tensor:
        a, b = (t.to(output.device, output.dtype) for t in (adapter.a, adapter.b))
        return output + (args[0] @ a.T) @ b.T

    handle = weight.module.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _answered(
    loaded: LoadedModel, weight: Weight, adapter: Adapter, fact: Fact, asking: Sequence[Sample]
) -> tuple[int, int]:
    limit = len(answer_ids(loaded, fact.answer)) + 8
    with under(weight, adapter):
        answers = generate(loaded, [(s.prompt, s.picture) for s in asking], max_new_tokens=limit)
    right = sum(any(says(one.text, a) for a in (fact.answer, *fact.accepted)) for one in answers)
    return right, len(answers)


def _write(adapter: Adapter, weight: Weight, path: str, base: str) -> None:
    """The folder of one adapter; files appear whole."""
    from safetensors.torch import save

    rank, folder = len(adapter.a), adapter.folder
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": rank,
        "lora_alpha": rank, "lora_dropout": 0.0, "bias": "none", "target_modules": [path],
        "fan_in_fan_out": weight.turned, "inference_mode": True, "use_rslora": False, "use_dora": False,
    }  # fmt: skip
    tensors = {
        f"base_model.model.{path}.lora_A.weight": adapter.a.contiguous(),
        f"base_model.model.{path}.lora_B.weight": adapter.b.contiguous(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / TENSORS) as handle:
        handle.write(save(tensors, {"format": "pt"}))
    with atomic_write(folder / CONFIG) as handle:
        handle.write((json.dumps(config, indent=2) + "\n").encode())
