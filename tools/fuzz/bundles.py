"""Broken bundles: bytes, header, tables, manifests whose checksums were made to fit, numbers, counts."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from okedit_cli.bundle import Bundle, Manifest, read_manifest
from okedit_cli.bundle import bundle as bundles
from okedit_cli.bundle.card import card
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.remove import remove
from okedit_cli.bundle.sources import get_sources, put_sources
from okedit_cli.bundle.words import facts_of
from okedit_cli.cli.show import row
from okedit_cli.edits.codebook import Codebook

BLANK = "0" * 64
HEADER_TOKENS = (
    b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"18446744073709551616", b"[" * 40,
    b"[" * 5000, b'"F16"', b'"\\ud800"', b"\xff", b'"a":1,"a":1,',
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**70, 1.5, 1e308, "", "x" * 5000, "\u202e\x1b[2J", "../../x", "\x00",
    "/etc/passwd", [], {}, [[[]]], [None], [{}], {"a": {"b": {}}}, [0] * 2000, "2.0", "1.9", BLANK, [1, 2],
    {"id": 1},
)  # fmt: skip
FLOATS = (float("nan"), float("inf"), float("-inf"), 3.4e38, -3.4e38, 1e-45, -1.0, 0.0, 1e20)
FINITE = (3.4e38, 1e20, 1e-45, 0.0, 7.0)  # no reader refuses them, so they reach merge and remove
WHOLE = (-1, 2**63 - 1, -(2**63), 99, 3)


@contextmanager
def large_from(many: int) -> Iterator[None]:
    """Meanwhile a bundle of `many` edits is written and read as a large one."""
    before = bundles.MOST
    bundles.MOST = many
    try:
        yield
    finally:
        bundles.MOST = before


class Cases:
    """Mutations of a bundle of a few edits with a canary, pictures and dropped edits.

    Half of them as a large bundle is written: facts as lines of text in a tensor.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.good = folder / "case.safetensors", folder / "good.safetensors"
        self.files = []
        self.other = _bundle(3)
        self.bundle, _ = merge([_bundle(1), _bundle(2)], on_conflict="newest")
        self.bundle, _ = merge([self.bundle, _bundle(1, answer="Kim")], on_conflict="newest")
        put_sources(self.bundle, [b"one picture", b"another"])
        for many in (1000, 1):
            with large_from(many):
                self.bundle.save(self.good)
            data = self.good.read_bytes()
            length = int.from_bytes(data[:8], "little")
            raw = data[8 : 8 + length]
            header = json.loads(raw)
            self.files.append(
                (data, raw, data[8 + length :], header, json.loads(header["__metadata__"]["okedit"]))
            )

    def case(self, chance: random.Random) -> str:
        """Write the next broken file; returns what was done to it."""
        kinds = (
            self._bytes,
            self._tokens,
            self._table,
            self._manifest,
            self._numbers,
            self._counts,
            self._json,
        )
        self.data, self.raw, self.body, self.header, self.manifest = chance.choice(self.files)
        [kind] = chance.choices((*kinds, self._lines), (2, 2, 2, 3, 4, 1, 1, 2))
        self.path.write_bytes(kind(chance))
        return kind.__name__[1:]

    @large_from(1)
    def check(self) -> None:
        """All that commands do with a bundle."""
        manifest = read_manifest(self.path)
        card(manifest)
        [row(fact) for fact in manifest.facts]
        bundle = Bundle.load(self.path, verify=True)
        get_sources(bundle)
        facts_of(manifest.facts, {}, Path(), "case")
        book = bundle.codebook
        book.picture_distances(torch.zeros(len(book.picture_mean) or book.picture_keys.shape[1]))
        book.question_distances(torch.zeros(len(book.question_mean) or book.question_keys.shape[1]))
        if manifest.facts:
            remove(bundle, [manifest.facts[0]["id"]])[0].save(self.path)
        merge([self.other, bundle], on_conflict="newest")[0].save(self.path)

    def _bytes(self, chance: random.Random) -> bytes:
        data = bytearray(self.data)
        for _ in range(chance.randint(1, 4)):
            if not data:
                break
            place = chance.randrange(min(len(data), chance.choice([16, 400, len(data)])))
            what = chance.randrange(5)
            if what == 0:
                data[place] ^= 1 << chance.randrange(8)
            elif what == 1:
                del data[place : place + chance.randint(1, 64)]
            elif what == 2:
                data[place:place] = chance.randbytes(chance.randint(1, 64))
            elif what == 3:
                del data[place:]
            else:
                data[:8] = struct.pack(
                    "<Q", chance.choice([0, 1, 7, 8, 2**20, 10**8, 2**40, 2**63, 2**64 - 1])
                )
        return bytes(data)

    def _tokens(self, chance: random.Random) -> bytes:
        raw = bytearray(self.raw.rstrip())
        for _ in range(chance.randint(1, 3)):
            places = [i for i, sign in enumerate(raw) if sign in b'0123456789"[]{},:']
            place, other = chance.choice(places), chance.choice(places)
            if chance.random() < 0.5:
                raw[place : place + chance.randint(0, 3)] = chance.choice(HEADER_TOKENS)
            else:
                raw[place:place] = raw[other : other + chance.randint(1, 60)]
        return _join(bytes(raw), self.body)

    def _table(self, chance: random.Random) -> bytes:
        header = json.loads(self.raw)
        name = chance.choice([name for name in header if name != "__metadata__"])
        what = chance.randrange(6)
        if what == 0:
            header[name][chance.choice(["dtype", "shape", "data_offsets"])] = copy.deepcopy(
                chance.choice(VALUES)
            )
        elif what == 1:
            header[name]["dtype"] = chance.choice(
                ["F64", "F16", "BF16", "I64", "U8", "BOOL", "I32", "F8_E4M3"]
            )
        elif what == 2:
            header[name]["shape"] = [
                chance.choice([0, 1, 3, 2**31, 2**62]) for _ in range(chance.randint(0, 9))
            ]
        elif what == 3:
            header[name]["data_offsets"] = [chance.choice([0, 8, len(self.body), 2**62]) for _ in range(2)]
        elif what == 4:
            del header[name]
        else:
            for number in range(chance.choice([1, 70])):
                header[f"more{number}"] = {"dtype": "F32", "shape": [0], "data_offsets": [len(self.body)] * 2}
        return _join(json.dumps(header).encode(), self.body)

    def _manifest(self, chance: random.Random) -> bytes:
        """Any field replaced, and the checksum made to fit, as a forger would."""
        manifest = json.loads(json.dumps(self.manifest))
        for _ in range(chance.randint(1, 3)):
            holder, key = chance.choice([place for place in _places(manifest) if place[1] != "checksum"])
            if chance.random() < 0.2 and isinstance(holder, dict):
                del holder[key]
            elif chance.random() < 0.2 and isinstance(holder, dict):
                holder[chance.choice(["extra", "checksum ", "", "é" * 40])] = copy.deepcopy(
                    chance.choice(VALUES)
                )
            else:
                holder[key] = copy.deepcopy(chance.choice(VALUES))
            if not isinstance(manifest, dict) or not manifest:
                break
        return self._sealed(manifest, self.body)

    def _numbers(self, chance: random.Random) -> bytes:
        """Numbers in the tensors that no method would write, every checksum made to fit."""
        body, manifest = bytearray(self.body), json.loads(json.dumps(self.manifest))
        floats = chance.choice([FLOATS, FINITE, FINITE])
        for _ in range(chance.randint(1, 3)):
            name = chance.choice([name for name in self.header if name not in ("__metadata__", "sources")])
            info = self.header[name]
            start, end = info["data_offsets"]
            size = {"I64": 8, "F32": 4}.get(info["dtype"], 1)
            if start == end:
                continue
            for _ in range(chance.choice([1, 1, (end - start) // size])):
                place = start + size * chance.randrange((end - start) // size)
                if size == 1:
                    body[place] = chance.randrange(256)
                elif size == 8:
                    body[place : place + 8] = struct.pack("<q", chance.choice(WHOLE))
                else:
                    body[place : place + 4] = struct.pack("<f", chance.choice(floats))
            manifest["tensors"][name]["sha256"] = hashlib.sha256(body[start:end]).hexdigest()
        return self._sealed(manifest, bytes(body))

    def _lines(self, chance: random.Random) -> bytes:
        """Lines of facts that are none, every checksum made to fit."""
        if "facts" not in self.header:
            return self._counts(chance)
        name = chance.choice(["facts", "dropped_facts"])
        start, end = self.header[name]["data_offsets"]
        text = bytearray(self.body[start:end])
        for _ in range(chance.randint(1, 3)):
            place, token = (
                chance.randrange(len(text)),
                chance.choice([*HEADER_TOKENS, b"\n", b"\n\n", b"x" * 90]),
            )
            text[place : place + chance.choice([0, 1, len(token)])] = token
        size = end - start
        text = text[:size].ljust(size, chance.choice([b" ", b"\n"]))
        manifest = json.loads(json.dumps(self.manifest))
        manifest["tensors"][name]["sha256"] = hashlib.sha256(text).hexdigest()
        return self._sealed(manifest, self.body[:start] + bytes(text) + self.body[end:])

    def _counts(self, chance: random.Random) -> bytes:
        """Lists longer or shorter than the tensors that they describe."""
        manifest = json.loads(json.dumps(self.manifest))
        name = chance.choice(["facts", "dropped", "canary", "sources", "tensors"])
        value = manifest.get(name)
        if isinstance(value, list) and value:
            if chance.random() < 0.5:
                value.pop(chance.randrange(len(value)))
            else:
                again = dict(chance.choice(value))
                value.extend(dict(again, **({"id": f"n{i}"} if "id" in again else {}))
                             for i in range(chance.choice([1, 3, 20_000])))  # fmt: skip
        elif isinstance(value, dict):
            value.pop(chance.choice(list(value)))
        return self._sealed(manifest, self.body)

    def _json(self, chance: random.Random) -> bytes:
        """JSON that costs much or means nothing: deep, wide, long, doubled."""
        what = chance.choice([
            b"[" * 20 + b"]" * 20, b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 3000 + b"1" + b"}" * 3000,
            b"[" + b"1," * 300_000 + b"1]", b'"' + b"x" * 1_000_000 + b'"', b"9" * 100_000,
            b"1" + b"0" * 4000 + b".5",
            b'{"a":1,"a":2}', b"1e99999", b"-0", b'"\\ud800\\ud800"', b"tru", b"'x'", b"\xef\xbb\xbf1",
        ])  # fmt: skip
        if chance.random() < 0.5:
            return _join(b'{"a":' + what + b"," + self.raw.rstrip()[1:], self.body)
        text = self.header["__metadata__"]["okedit"]
        text = '{"a":' + what.decode("latin-1") + "," + text[1:]
        return _join(json.dumps({**self.header, "__metadata__": {"okedit": text}}).encode(), self.body)

    def _sealed(self, manifest: Any, body: bytes) -> bytes:
        if isinstance(manifest, dict):
            manifest["checksum"] = BLANK
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
        found = hashlib.sha256(text.encode()).hexdigest()
        text = text.replace(f'"checksum":"{BLANK}"', f'"checksum":"{found}"', 1)
        return _join(json.dumps({**self.header, "__metadata__": {"okedit": text}}).encode(), body)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found, stack = [], [value]
    while stack:
        holder = stack.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                stack.append(holder[key])
    return found


def _join(raw: bytes, body: bytes) -> bytes:
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw + body


def _bundle(seed: int, answer: str = "Miso") -> Bundle:
    space, rows = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)

    def random_rows(*shape: int, by: torch.Generator = rows) -> torch.Tensor:
        return torch.randn(*shape, generator=by)

    owner = torch.arange(3).repeat_interleave(2)
    book = Codebook(
        picture_mean=random_rows(5, by=space), picture_projection=random_rows(5, 4, by=space),
        question_mean=random_rows(6, by=space), question_projection=random_rows(6, 3, by=space),
        picture_keys=random_rows(6, 4), picture_owner=owner, question_keys=random_rows(6, 3),
        question_owner=owner.clone(), picture_radius=random_rows(3).abs(),
        question_radius=random_rows(3).abs(),
        value_down=random_rows(3, 2, 8), value_up=random_rows(3, 2, 8), value_bias=random_rows(3, 8),
    )  # fmt: skip
    picture = hashlib.sha256(b"one picture").hexdigest()
    facts = [
        {"id": f"fact-{seed}-{i}", "prompt": "Who?", "answer": f"{answer} {seed} {i}",
        "picture_sha256": picture,
         "report": {"took": True, "positives": [1, 2], "radius": 0.5}, "rephrases": ["What?"],
         "images": [picture],
         "keep": [{"prompt": "Where?", "picture_sha256": None}], "related": [{"prompt": "How?",
         "answer": "So"}]}
        for i in range(3)
    ]  # fmt: skip
    base = {"name": "okedit-mini", "architecture": "Llava", "hidden_size": 8, "layers": 3}
    site = {"key_layer": 1, "picture_point": "connector", "value_layer": 2, "point": "mlp"}
    manifest = Manifest(base=base, site=site, method="balancedit", facts=facts, canary=[{"kind": "picture"}])
    return Bundle(manifest, book, {"canary_picture": torch.ones(1, 4)})
