"""okedit ask: questions and answers, with the edits of the bundles that belong to the model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import okedit_cli

from ..errors import InvalidBundle, ModelMismatch, UsageError
from ..facts.stand_ins import Fetch, fetched, is_url
from ..scope.explain import overruled_words, verdict_json, verdict_words
from . import options
from .belonging import check, check_named, readable, told_already
from .loading import fetcher, open_model
from .loop import loop
from .output import Output
from .streams import utf8_argument, utf8_bytes

EXAMPLES = """
  okedit ask --image cat.jpg
  okedit ask "What is this cat's name?" --image cat.jpg -b bundles/facts.safetensors --compare
  curl -s https://example.com/cat.jpg | okedit ask "Who is this?" --image - --explain
  echo "Who leads the office?" | okedit ask --json
  okedit ask -i --image cat.jpg
"""

DEFAULT_PROMPT = "What is in this picture?"
BUNDLES = Path("bundles")


@dataclass(frozen=True)
class _Asked:
    prompt: str
    picture: Any  # PIL image or None
    image: str | None  # what the picture is called


@dataclass(frozen=True)
class _Model:
    """A model with its edits, and how its answers are shown."""

    loaded: Any
    attachment: Any  # None where no bundle is attached
    paths: Sequence[Path]
    max_tokens: int
    compare: bool
    explain: bool
    out: Output

    def ask(self, asked: _Asked) -> None:
        """One question; the answer goes to stdout while it is made, unless it is part of something else."""
        out, before = self.out, None
        if self.compare:
            with self.attachment.aside() if self.attachment else nullcontext():
                before = self._answer(asked).text
        answer = self._answer(asked, shown=not (out.json or self.compare))
        if out.json:
            found = {
                "answer": answer.text,
                "cut": answer.cut,
                "prompt": asked.prompt,
                "image": asked.image,
                "model": self.loaded.name,
                "bundles": self.paths,
            }
            if self.compare:
                found["before"] = before
            out.json_object({**found, "verdict": verdict_json(answer.verdict)})
        elif self.compare:
            out.line(f"before: {before}")
            out.line(f"after: {answer.text}")
        if answer.cut:
            out.warn(f"the answer was cut at {self.max_tokens} tokens; --max-tokens N gives it more.")
        if answer.verdict is not None and answer.verdict.overruled is not None:
            out.warn(overruled_words(answer.verdict))
        if self.explain and not out.json:
            out.note(verdict_words(answer.verdict))

    def _answer(self, asked: _Asked, shown: bool = False) -> Any:
        seen = False

        def show(text: str) -> None:
            nonlocal seen
            seen = seen or bool(text)
            self.out.stream(text)

        [answer] = okedit_cli.generate(
            self.loaded,
            [(asked.prompt, asked.picture)],
            max_new_tokens=self.max_tokens,
            on_text=show if shown else None,
        )
        if shown:
            self.out.line("" if seen else answer.text)
        return answer


def ask(
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help=f'The question; else from stdin, else "{DEFAULT_PROMPT}".'),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="A picture file; - reads it from stdin.",
        ),
    ] = None,
    interactive: Annotated[
        bool,
        typer.Option("-i", "--interactive", help="Ask on and on: a question a line, the model loaded once."),
    ] = False,
    remote_images: options.RemoteImages = False,
    remote_hosts: options.RemoteHosts = None,
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
    ] = 256,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    low_memory: options.LowMemory = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask about a picture, or in words alone.

    Without -b every bundle in ./bundles that fits the model is attached, and stderr says which. With -i each
    line of stdin is a question, until its end or /quit; /image FILE changes the picture.
    """
    out = Output(json=json, quiet=quiet)
    if no_edits and (bundle or compare or explain):
        raise UsageError(
            "--no-edits leaves nothing for -b, --compare or --explain to do; give one or the other."
        )
    if interactive and (prompt is not None or image == "-"):
        raise UsageError(
            "-i reads questions from stdin, so it goes neither with a PROMPT nor with --image -.",
            hint="--image FILE names the picture; printf 'Who?\\nWhere?\\n' | okedit ask -i --image cat.jpg",
        )
    text = "" if interactive else _prompt(prompt, image)
    fetch = fetcher(remote_images, remote_hosts)
    asked = _Asked(text, _picture(image, fetch), image)
    named = readable(bundle or ())
    loaded = open_model(
        model or options.DEFAULT_MODEL,
        out,
        device=device,
        dtype=dtype,
        revision=revision,
        trust_remote_code=trust_remote_code,
        low_memory=low_memory,
    )
    check_named(named, loaded, out, strict)
    paths = [] if no_edits else named or _found(loaded, out, strict)
    if paths:
        out.say(f"edits: {', '.join(map(str, paths))}")

    with _attached(loaded, paths, strictness, without or ()) as attachment:
        opened = _Model(loaded, attachment, paths, max_tokens, compare, explain, out)
        if not interactive:
            opened.ask(asked)
            return
        loop(
            lambda question, picture, name: opened.ask(_Asked(question, picture, name)),
            (asked.picture, image),
            lambda name: _picture(name, fetch),
            out,
        )


def _prompt(prompt: str | None, image: str | None) -> str:
    """The question: PROMPT, else stdin, else the one that fits any picture. UsageError where it is blank."""
    if prompt is not None:
        text = utf8_argument(prompt, "The question")
    elif image != "-" and sys.stdin is not None and not sys.stdin.isatty():
        text = utf8_bytes(sys.stdin.buffer.read(), "The question on stdin") or None
    else:
        text = None
    if text is None and image is None:
        raise UsageError(
            "There is nothing to ask: no question and no --image.", hint='okedit ask "Who?" --image cat.jpg'
        )
    if text is None:
        return DEFAULT_PROMPT
    if not text.strip():
        raise UsageError(
            "The question is empty.",
            hint=f'Write one; without PROMPT a picture is asked "{DEFAULT_PROMPT}"',
        )
    return text.strip()


def _picture(image: str | None, fetch: Fetch | None) -> Any:
    if image is None:
        return None
    from ..facts.pictures import load_picture

    if is_url(image) and fetch is not None:
        return load_picture(fetched(image, fetch), name=image)
    if image != "-":
        return load_picture(Path(image))
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "--image - reads a picture from stdin, and stdin is a terminal.", hint="Pipe a picture in."
        )
    return load_picture(sys.stdin.buffer.read())


def _found(loaded: Any, out: Output, strict: bool) -> list[Path]:
    """The bundles in ./bundles that belong to the model, the newest last, so that it wins where they
    contradict each other; the others are named on stderr.
    """
    fitting = []
    for path in sorted(BUNDLES.glob("*.safetensors"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
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
) -> Iterator[Any]:
    """The attachment; None where there is nothing to attach."""
    if not paths:
        yield None
        return
    with told_already():
        attachment = okedit_cli.attach(
            loaded, [okedit_cli.Bundle.load(path) for path in paths], strictness=strictness, without=without
        )
    with attachment as attached:
        yield attached
