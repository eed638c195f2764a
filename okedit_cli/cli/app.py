"""The Typer application. A new command is a file with a function and EXAMPLES, and a line in COMMANDS."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from .. import __version__
from . import (
    ask,
    dataset,
    doctor,
    edit,
    eval,
    export,
    gateway,
    merge,
    methods,
    remove,
    serve,
    setup,
    show,
    train,
    verify,
)
from .failures import guarded, tell
from .output import Output
from .scaling import AddressCommand
from .streams import hush_libraries, open_streams

# name -> (function, examples); the order is that of `okedit --help`
COMMANDS: dict[str, tuple[Callable, str]] = {
    "setup": (setup.setup, setup.EXAMPLES),
    "edit": (edit.edit, edit.EXAMPLES),
    "ask": (ask.ask, ask.EXAMPLES),
    "serve": (serve.serve, serve.EXAMPLES),
    "eval": (eval.evaluate, eval.EXAMPLES),
    "methods": (methods.methods, methods.EXAMPLES),
    "train": (train.train, train.EXAMPLES),
    "dataset": (dataset.dataset, dataset.EXAMPLES),
    "show": (show.show, show.EXAMPLES),
    "verify": (verify.verify, verify.EXAMPLES),
    "merge": (merge.merge, merge.EXAMPLES),
    "remove": (remove.remove, remove.EXAMPLES),
    "export": (export.export, export.EXAMPLES),
    "gateway": (gateway.gateway, gateway.EXAMPLES),
    "doctor": (doctor.doctor, doctor.EXAMPLES),
}

EXAMPLES = """
  okedit edit facts.yaml                        make a bundle of the facts in a file
  okedit ask --image cat.jpg                    ask with every bundle in ./bundles
  okedit ask "Who is it?" --image cat.jpg --compare
"""


def _examples(text: str) -> str:
    # \b: keep these lines as they are
    return "\b\nExamples:\n" + text.strip("\n")


def _version(wanted: bool) -> None:
    if wanted:
        Output().line(f"okedit {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Change what a vision-language model says about chosen pictures, without touching its weights."""


def build() -> typer.Typer:
    # no Rich markup: help texts have [brackets] of their own, and plain help starts faster
    app = typer.Typer(
        name="okedit",
        rich_markup_mode=None,
        add_completion=True,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(epilog=_examples(EXAMPLES))(_root)
    for name, (function, examples) in COMMANDS.items():
        kind = {"cls": AddressCommand} if name in ("edit", "eval") else {}
        app.command(name, epilog=_examples(examples), **kind)(guarded(function))
    return app


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """One command from argv (or the command line); ends the process with its exit code."""
    open_streams()
    hush_libraries()
    warnings.showwarning = _show_warning
    try:
        # not app(): that puts Typer's own handler in place of sys.excepthook
        typer.main.get_command(build())(args=None if argv is None else list(argv), prog_name="okedit")
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(tell(error))
    sys.exit(0)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    # okedit's own in a sentence; those of the libraries are for who develops with them
    if category.__module__.startswith("okedit_cli"):
        Output().warn(str(message))
