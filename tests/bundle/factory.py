"""Small bundles for tests: random codebooks of a few numbers, and files with chosen parts replaced."""

from __future__ import annotations

import hashlib
import json

import torch

from okedit_cli.bundle import Bundle, Manifest
from okedit_cli.edits.codebook import Codebook

BASE = {
    "name": "okedit-mini", "revision": None, "architecture": "LlavaForConditionalGeneration",
    "hidden_size": 8,
    "layers": 3, "vocab_size": 100, "weights": "a" * 64, "tokenizer": "b" * 64, "chat_template": "c" * 64,
    "image_processor_class": "MiniProcessor", "image_processor": "d" * 64, "dtype": "float32",
}  # fmt: skip


def make_codebook(
    edits: int = 3, *, seed: int = 0, keys: int = 2, rank: int = 2, size: int = 8, dtype=torch.float32
):
    """N random edits with `keys` keys a channel; equal sizes give an equal space, so that bundles merge."""
    space, rows = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed)
    owner = torch.arange(edits).repeat_interleave(keys)

    def random(*shape: int, generator=rows) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    return Codebook(
        picture_mean=random(5, generator=space), picture_projection=random(5, 4, generator=space),
        question_mean=random(6, generator=space), question_projection=random(6, 3, generator=space),
        picture_keys=random(edits * keys, 4), picture_owner=owner.clone(),
        question_keys=random(edits * keys, 3), question_owner=owner.clone(),
        picture_radius=random(edits).abs(), question_radius=random(edits).abs(),
        value_down=random(edits, rank, size), value_up=random(edits, rank, size), value_bias=random(edits,
        size),
    )  # fmt: skip


def make_fact(name: str, answer: str | None = None) -> dict:
    """A fact as a manifest lists it."""
    return {
        "id": name, "prompt": f"What is {name} called?", "answer": answer or f"Answer of {name}",
        "picture_sha256": hashlib.sha256(name.encode()).hexdigest(), "report": {"took": True, "d_pos": 0.25},
    }  # fmt: skip


def make_bundle(edits: int = 3, *, seed: int = 0, prefix: str = "fact", **sizes) -> Bundle:
    """A bundle with a canary of two rows."""
    codebook = make_codebook(edits, seed=seed, **sizes)
    manifest = Manifest(
        base=dict(BASE), site={"key_layer": 1, "picture_point": "connector", "value_layer": 2,
        "point": "mlp"},
        method="balancedit", facts=[make_fact(f"{prefix}-{i}") for i in range(edits)], settings={"rank": 2},
        versions={"torch": "2.13.0"}, bank="1", canary=[{"kind": "picture"}, {"kind": "question"}],
    )  # fmt: skip
    return Bundle(
        manifest, codebook, {"canary_picture": torch.ones(2, 4), "canary_question": torch.ones(2, 3)}
    )


def same(one: Bundle, other: Bundle) -> bool:
    """Whether two bundles hold the same manifest and, bit for bit, the same tensors."""
    ours, theirs = one.tensors(), other.tensors()
    return (
        one.manifest == other.manifest
        and set(ours) == set(theirs)
        and all(
            a.dtype == theirs[name].dtype
            and a.shape == theirs[name].shape
            and _bits(a) == _bits(theirs[name])
            for name, a in ours.items()
        )
    )


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def split_file(data: bytes) -> tuple[dict, bytes]:
    """A file's header, parsed, and the bytes of its tensors."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join_file(header: dict | bytes, body: bytes) -> bytes:
    """The inverse of split_file; a header of bytes is taken as it is."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw + body


def seal(manifest: dict) -> str:
    """A manifest's text with a checksum that fits, as a forger would write it."""
    text = json.dumps({**manifest, "checksum": "0" * 64}, sort_keys=True, separators=(",", ":"))
    return text.replace(
        '"checksum":"' + "0" * 64, '"checksum":"' + hashlib.sha256(text.encode()).hexdigest(), 1
    )
