"""What edits cost a 7B model in bytes and passes: `python -m tools.bench.cost [WORK ...] [--family llava]`

WORK is spaces, first, hundred, generate, loop or decode; all of them unless told. Measured on a model of the
real class with the real layers and tokens and a fraction of the width, twice: bytes grow with the width in a
line, which is read off at the real one; okedit's own bounds are divided as the width is. What does not grow
with it (encoders, pixels) is the line's beginning. Tensors alive over the model are counted, not resident
memory (cost_watch.py).
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.encoders.pair import judge_pairs
from okedit_cli.encoders.text import text_vectors
from okedit_cli.facts import Fact
from okedit_cli.methods import Options
from okedit_cli.methods.spaces import spaces_of
from okedit_cli.models.load import LoadedModel
from okedit_cli.models.memory import bounds, set_bounds
from okedit_cli.models.packages import okedit_home
from okedit_cli.scope.reach import reach_of
from tools.bench.cost_models import made
from tools.bench.cost_watch import Held, passes

QUESTION, ANSWER = "What is this cat's name?", "Miso"
DIVISIONS = {"llava": (64, 32), "qwen2_5_vl": (16, 8)}
GB = 1e9


def picture(number: int, size: int = 64) -> Image.Image:
    """A picture like no other: noise, small, so that it weighs nothing beside what is made of it."""
    noise = torch.randint(0, 256, (size, size, 3), generator=torch.Generator().manual_seed(number))
    return Image.fromarray(noise.to(torch.uint8).numpy())


def fact_file(folder: Path, count: int, size: int) -> Path:
    """Facts about so many pictures."""
    rows = ["version: 1", "facts:"]
    for number in range(count):
        picture(number, size).save(folder / f"{number}.png")
        rows.append(f'  - {{id: cat-{number}, image: {number}.png, prompt: "{QUESTION}", answer: {ANSWER}}}')
    (folder / "facts.yaml").write_text("\n".join(rows), encoding="utf-8")
    return folder / "facts.yaml"


class Works:
    """The works on one model; each gives {what: bytes} and the passes."""

    def __init__(self, loaded: LoadedModel, given: argparse.Namespace, folder: Path) -> None:
        self.loaded, self.given, self.folder = loaded, given, folder

    def fitted(self, count: int):
        """A bundle of facts about so many pictures."""
        path = fact_file(self.folder, count, self.given.size)
        return okedit_cli.fit(self.loaded, str(path), force=True)

    def spaces(self) -> None:
        """The spaces of a model, once."""
        spaces_of(self.loaded, Options("auto", False, 0, None))

    def first(self) -> None:
        """The first edit of one picture fact."""
        self.fitted(1)

    def hundred(self) -> None:
        """Facts in one file."""
        self.fitted(self.given.facts)

    def generate(self) -> None:
        """okedit's own generate() with 16 pictures."""
        with okedit_cli.attach(self.loaded, self.bundle):
            asked = [(QUESTION, picture(number, self.given.size)) for number in range(16)]
            okedit_cli.generate(self.loaded, asked, max_new_tokens=8)

    def loop(self) -> None:
        """A user's own loop over pictures, with its own processor and generate()."""
        with okedit_cli.attach(self.loaded, self.bundle):
            self.ask(self.given.pictures)

    def without(self) -> None:
        """The same loop with nothing attached: what the model itself needs."""
        self.ask(self.given.pictures)

    def ask(self, count: int) -> None:
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
        text = self.loaded.processor.apply_chat_template(turn, add_generation_prompt=True)
        for number in range(count):
            inputs = self.loaded.processor(
                text=[text], images=[picture(number, self.given.size)], return_tensors="pt"
            )
            inputs = {k: v.to(self.loaded.dtype) if v.is_floating_point() else v for k, v in inputs.items()}
            with torch.no_grad():
                self.loaded.model.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)


WORKS = ("spaces", "first", "hundred", "generate", "without", "loop")


def measure(given: argparse.Namespace, division: int, folder: Path) -> dict[str, tuple[int, int, Counter]]:
    """Work -> peak and kept bytes over the model, and passes. The kept are those after detach."""
    judge_pairs([("a", "b")])  # encoders are read once, whatever the model
    text_vectors(["a"])
    reach_of("a")
    loaded = made(given.family, division)
    if given.divided:
        set_bounds(loaded, bounds(loaded).divided(division))
    works, out = Works(loaded, given, folder), {}
    with Held(loaded) as held:
        for name in WORKS:
            if name in ("generate", "loop") and not hasattr(works, "bundle"):
                works.bundle = works.fitted(1).bundle
            if name not in given.works and name != "spaces":
                continue
            gc.collect()
            before = held.now
            held.forget_peak()
            began = time.perf_counter()
            with passes(loaded) as counted:
                getattr(works, name)()
            gc.collect()
            out[name] = held.peak - before, held.now - before, counted
            print(
                f"  1/{division} {name}: peak {out[name][0] / 1e6:.1f} MB, kept {out[name][1] / 1e6:.1f} MB, "
                f"{dict(counted)}, {time.perf_counter() - began:.0f} s", file=sys.stderr,
            )  # fmt: skip
    return out


def repeated(bundle: Bundle, count: int) -> Bundle:
    """The first edit of a bundle, which is in words alone, so many times, with keys of their own."""
    book, noise = bundle.codebook, torch.Generator().manual_seed(0)
    own = book.question_keys[:1]
    keys = torch.randn(count, own.shape[1], generator=noise)
    keys *= own.norm() / keys.norm(dim=1, keepdim=True)
    rows = ("picture_radius", "question_radius", "value_down", "value_up", "value_bias")
    many = {
        name: getattr(book, name)[:1].repeat(count, *[1] * (getattr(book, name).dim() - 1)) for name in rows
    }
    many |= {"question_keys": keys, "question_owner": torch.arange(count)}
    facts = [bundle.manifest.facts[0] | {"id": f"edit-{number}"} for number in range(count)]
    return replace(
        bundle, manifest=replace(bundle.manifest, facts=facts), edits=replace(book, **many), canary={}
    )


def decode(given: argparse.Namespace) -> None:
    """Tokens a second with many edits attached, over those with none, on okedit-mini; turn about."""
    loaded = okedit_cli.load_model("okedit-mini")
    prompt = loaded.tokenizer("Once upon a time", return_tensors="pt")

    def rate() -> float:
        began = time.process_time()  # which others' work does not change; OMP_NUM_THREADS=1
        with torch.inference_mode():
            loaded.model.generate(
                **prompt, max_new_tokens=given.tokens, min_new_tokens=given.tokens, do_sample=False
            )
        return given.tokens / (time.process_time() - began)

    rate()
    fact = Fact("one", "What is the capital of France?", "Paris.")
    one = okedit_cli.fit(loaded, [fact], force=True, checked=False).bundle
    for edits in (1, 1000, 10_000):
        bundle = repeated(one, edits)
        ratios = []
        for _ in range(given.turns):
            without = rate()
            with okedit_cli.attach(loaded, bundle):
                ratios.append(rate() / without)
        ratios.sort()
        print(f"decode, {edits} edits: {ratios[len(ratios) // 2]:.3f} of the tokens a second (median)")


def main(words: Sequence[str] | None = None) -> None:
    """Print a table of bytes, scaled to the real width, and passes."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.cost", description=__doc__.split("\n")[0])
    parser.add_argument("works", nargs="*", choices=[*WORKS, "decode", []], metavar="WORK")
    parser.add_argument("--family", choices=list(DIVISIONS), default="llava")
    parser.add_argument("--facts", type=int, default=100, help="of the work hundred")
    parser.add_argument("--pictures", type=int, default=1000, help="of the work loop")
    parser.add_argument("--size", type=int, default=64, help="pixels of a picture's side")
    parser.add_argument("--tokens", type=int, default=64, help="of the work decode")
    parser.add_argument("--turns", type=int, default=9, help="of the work decode")
    parser.add_argument("--whole", dest="divided", action="store_false", help="okedit's bounds as they are")
    given = parser.parse_args(words)
    given.works = given.works or [*WORKS, "decode"]
    if any(name in WORKS for name in given.works):
        found, home = {}, okedit_home()
        for division in DIVISIONS[given.family]:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "parts").symlink_to(home / "parts")
                os.environ["OKEDIT_HOME"] = folder  # nothing measured before
                found[division] = measure(given, division, Path(folder))
        tell(found)
    if "decode" in given.works:
        decode(given)


def tell(found: dict[int, dict[str, tuple[int, int, Counter]]]) -> None:
    """The line through both measurements, at the real width."""
    (coarse, first), (fine, second) = found.items()
    print(f"{'work':10} {'peak GB':>8} {'kept GB':>8}  passes (rows)")
    for name, (*small, counted) in first.items():
        if name == "spaces":  # mostly what encoders keep when they are first asked
            print(f"{name:10} not scaled          {counted['vision']} vision")
            continue
        real = [_at_full_width(a, b, coarse, fine) for a, b in zip(small, second[name][:2], strict=True)]
        kinds = [kind for kind in ("vision", "prompt", "one token", "values") if counted[kind]]
        told = ", ".join(
            f"{counted[kind]} {kind}" + (f" ({counted[f'{kind} rows']})" if counted[f"{kind} rows"] else "")
            for kind in kinds
        )
        print(f"{name:10} {real[0] / GB:8.2f} {real[1] / GB:8.2f}  {told}")


def _at_full_width(one: float, other: float, coarse: int, fine: int) -> float:
    slope = (other - one) / (1 / fine - 1 / coarse)
    return one + slope * (1 - 1 / coarse)


if __name__ == "__main__":
    sys.exit(main())
