"""okedit ask: one question, one answer, with the edits of the bundles that belong to the model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import okedit_cli

from ..errors import InvalidBundle, ModelMismatch, UsageError
from . import options
from .belonging import check, check_named, readable, told_already
from .explain import verdict_json, verdict_words
from .loading import open_model
from .output import Output

EXAMPLES = """
  okedit ask --image cat.jpg
  okedit ask "What is this cat's name?" --image cat.jpg -b bundles/facts.safetensors --compare
  curl -s https://example.com/cat.jpg | okedit ask "Who is this?" --image - --explain
  echo "Who leads the office?" | okedit ask --json
"""

DEFAULT_PROMPT = "What is in this picture?"
BUNDLES = Path("bundles")


@dataclass(frozen=True)
class _Asked:
    prompt: str
    picture: Any  # PIL image or None


def ask(
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help=f'The question; else from stdin, else "{DEFAULT_PROMPT}".'),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("-i", "--image", metavar="FILE", help="A picture file; - reads it from stdin."),
    ] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            "-b",
            "--bundle",
            metavar="FILE",
            help="A bundle to attach, or hf://owner/name; repeatable. [default: what fits in ./bundles]",
        ),
    ] = None,
    model: options.Model = None,
    no_edits: Annotated[bool, typer.Option("--no-edits", help="Ask the base model alone.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Answer without and with the edits.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what each stage found: candidates, distances, reasons.")
    ] = False,
    strict: options.Strict = False,
    strictness: options.Strictness = None,
    without: options.Without = None,
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            metavar="N",
            envvar="OKEDIT_MAX_TOKENS",
            min=1,
            help="The longest answer, in tokens.",
        ),
    ] = 48,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask about a picture, or in words alone.

    Without -b every bundle in ./bundles that fits the model is attached, and stderr says which.
    """
    out = Output(json=json, quiet=quiet)
    if no_edits and (bundle or compare or explain):
        raise UsageError(
            "--no-edits leaves nothing for -b, --compare or --explain to do; give one or the other."
        )
    asked = _Asked(_prompt(prompt, image), _picture(image))
    named = readable(bundle or ())
    loaded = open_model(
        model or options.DEFAULT_MODEL, out, device=device or "auto", dtype=dtype or "auto", revision=revision
    )
    check_named(named, loaded, out, strict)
    paths = [] if no_edits else named or _found(loaded, out, strict)
    if paths:
        out.say(f"edits: {', '.join(map(str, paths))}")

    before = _answer(loaded, asked, max_tokens).text if compare else None
    streamed = not (json or compare)
    with _attached(loaded, paths, strictness, without or ()):
        answer = _answer(loaded, asked, max_tokens, out if streamed else None)

    if json:
        found = {
            "answer": answer.text,
            "prompt": asked.prompt,
            "image": image,
            "model": loaded.name,
            "bundles": paths,
        }
        if compare:
            found["before"] = before
        out.json_object({**found, "verdict": verdict_json(answer.verdict)})
    elif compare:
        out.line(f"before: {before}")
        out.line(f"after: {answer.text}")
    if explain and not json:
        out.note(verdict_words(answer.verdict))


def _prompt(prompt: str | None, image: str | None) -> str:
    if prompt is None and image != "-" and sys.stdin is not None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    prompt = (prompt or "").strip()
    if prompt:
        return prompt
    if image is None:
        raise UsageError(
            "There is nothing to ask: no question and no --image.", hint='okedit ask "Who?" --image cat.jpg'
        )
    return DEFAULT_PROMPT


def _picture(image: str | None) -> Any:
    if image is None:
        return None
    from ..pictures import load_picture

    if image != "-":
        return load_picture(Path(image))
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "--image - reads a picture from stdin, and stdin is a terminal.", hint="Pipe a picture in."
        )
    return load_picture(sys.stdin.buffer.read())


def _found(loaded: Any, out: Output, strict: bool) -> list[Path]:
    """The bundles in ./bundles that belong to the model; the others are named on stderr."""
    fitting = []
    for path in sorted(BUNDLES.glob("*.safetensors")):
        try:
            # what nobody named must be for this very model; -b also takes one of the same architecture
            check(path, loaded, out, strict, content=True)
        except (ModelMismatch, InvalidBundle) as error:
            out.say(f"left out: {path}: {error.message}")
        else:
            fitting.append(path)
    if not fitting:
        out.say(f"edits: none, no bundle in ./{BUNDLES} fits this model")
    return fitting


@contextmanager
def _attached(
    loaded: Any, paths: Sequence[Path], strictness: float | None, without: Sequence[str]
) -> Iterator[None]:
    if not paths:
        yield
        return
    with told_already():
        attachment = okedit_cli.attach(
            loaded, [okedit_cli.Bundle.load(path) for path in paths], strictness=strictness, without=without
        )
    with attachment:
        yield


def _answer(loaded: Any, asked: _Asked, max_tokens: int, out: Output | None = None) -> Any:
    """The model's Answer, shown on out while it is generated."""
    shown = False

    def show(text: str) -> None:
        nonlocal shown
        shown = shown or bool(text)
        out.stream(text)

    [answer] = okedit_cli.generate(
        loaded, [(asked.prompt, asked.picture)], max_new_tokens=max_tokens, on_text=show if out else None
    )
    if out:
        out.line("" if shown else answer.text)
    return answer
