"""A stand-in for the model side of the package, so that the command line is tested without torch.

Only the public API and the two calls that say whether a bundle fits are replaced; files and facts are real.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

import okedit_cli
from okedit_cli.cli.app import build
from okedit_cli.errors import InvalidBundle, ModelMismatch
from okedit_cli.scope.verdict import Candidate, Verdict


@dataclass
class Report:
    id: str
    took: bool = True
    kept_out: bool = False
    positives: tuple = (3, 4)
    negatives: tuple = (19, 20)
    d_pos: float = 0.123456
    d_neg: float = 0.9
    radius: float = 0.5
    channel: str = "picture"
    seconds: float = 1.25
    why: str = ""
    reach: str = "kind"
    lost: tuple = ()
    fragile: tuple = ()


NEAR = Candidate("cat", "facts", 0, 0, 0.25, 0.5, 0.5, 1.0, label="follows")


@dataclass
class World:
    """What the fakes were called with, and what they are to answer."""

    reports: dict = field(default_factory=dict)  # fact id -> fields of its Report
    opened: dict = field(default_factory=dict)
    fitted: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    attached: list = field(default_factory=list)
    attachments: int = 0
    loads: int = 0
    cut: bool = False  # whether answers reach their limit
    bad: dict = field(default_factory=dict)  # question -> the exception that it raises
    strictness: float | None = None
    hits: bool | str = True  # "context": none fires, and the model is told; False: one comes near
    failure: BaseException | None = None

    def load_model(self, name, **options):
        if self.failure:
            raise self.failure
        self.opened = {"name": name, **options}
        self.loads += 1
        words = SimpleNamespace(all_special_tokens=["<|im_end|>"], added_tokens_decoder={})
        return SimpleNamespace(
            name=name, device="cpu", dtype="torch.float32", processor=None, cache={}, tokenizer=words
        )

    def fit(self, loaded, facts, *, progress, **options):
        self.fitted = {"facts": [fact.id for fact in facts], **options}
        progress("fit", 1, len(facts))
        manifest = SimpleNamespace(site={"key_layer": 3, "value_layer": 5})
        bundle = SimpleNamespace(manifest=manifest, save=lambda path: path.write_bytes(b"fits" * 300))
        return SimpleNamespace(
            bundle=bundle, reports=[Report(fact.id, **self.reports.get(fact.id, {})) for fact in facts]
        )

    @contextlib.contextmanager
    def attach(self, loaded, bundles, *, strictness=None, without=()):
        self.attached, self.strictness = bundles, strictness
        self.attachments += 1
        yield SimpleNamespace(aside=self.aside)
        self.attached = []

    @contextlib.contextmanager
    def aside(self):
        bundles, self.attached = self.attached, []
        try:
            yield
        finally:
            self.attached = bundles

    def generate(self, loaded, questions, *, max_new_tokens, on_text=None):
        [(prompt, picture)] = questions
        self.asked.append((prompt, picture and picture.size, max_new_tokens))
        if prompt in self.bad:
            raise self.bad[prompt]
        text = "Miso [bold]" if self.attached else "a cat"
        for piece in text.split(" ", 1) if on_text else ():
            on_text(piece + "|")
        verdict = None
        if self.attached:
            near = replace(NEAR, rejection="" if self.hits is True else "something else is asked")
            hit, context = (near if self.hits is name else None for name in (True, "context"))
            verdict = Verdict(hit, near, context, (near,))
        return [SimpleNamespace(text=text, verdict=verdict, cut=self.cut)]


class _Content(bytes):
    """In the place of a manifest."""

    site: dict = {}  # noqa: RUF012


def _read_manifest(path):
    with open(path, "rb") as file:
        content = _Content(file.read())
    if content.startswith(b"no bundle"):
        raise InvalidBundle(f"{path} is not a bundle.")
    return content


def _check_fit(manifest, fingerprint, *, strict=False, content=False):
    refused = (b"other", *[b"tuned"] * (strict or content), *[b"soft"] * strict)
    if manifest.startswith(refused):
        raise ModelMismatch("Made for another model: hidden size 8, this one has 16.")
    return ["dtype differs"] if manifest.startswith((b"soft", b"tuned")) else []


@pytest.fixture
def world(monkeypatch, tmp_path):
    """The fakes in place, in an empty working folder with a picture and a fact file."""
    from okedit_cli import bundle

    world = World()
    for name in ("load_model", "fit", "attach", "generate"):
        monkeypatch.setitem(okedit_cli.__dict__, name, getattr(world, name))
    monkeypatch.setitem(okedit_cli.__dict__, "Bundle", SimpleNamespace(load=str))
    monkeypatch.setattr(bundle, "read_manifest", _read_manifest)
    monkeypatch.setattr(bundle, "check_fit", _check_fit)
    monkeypatch.setattr("okedit_cli.models.fingerprint.fingerprint", lambda loaded: {})
    monkeypatch.setattr("okedit_cli.models.mini.is_ready", lambda: True)
    for name in ("MODEL", "DEVICE", "DTYPE", "METHOD", "LAYER", "SEED", "MAX_TOKENS", "STRICTNESS", "DEBUG"):
        monkeypatch.delenv(f"OKEDIT_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("cat.png")
    (tmp_path / "facts.yaml").write_text(
        "version: 1\ndefaults: {layer: 7, dtype: bfloat16}\nfacts:\n"
        "  - {id: cat, image: cat.png, prompt: Who is it, answer: Miso}\n"
        "  - {id: boss, prompt: Who leads, answer: Ada}\n"
    )
    return world


@pytest.fixture
def okedit(world):
    """okedit("ask", "...") -> a result with exit_code, stdout and stderr."""
    runner = CliRunner()
    return lambda *arguments, **options: runner.invoke(build(), list(arguments), **options)
