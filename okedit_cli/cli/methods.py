"""okedit methods: how edits can be computed, and each method's settings."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from . import options
from .output import Output

EXAMPLES = """
  okedit methods
  okedit methods alphaedit
  okedit edit facts.yaml --method ft-llm --set steps=20 --set rate=5e-5
"""


def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One method, with its settings.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List the methods that compute edits: what each is after, what it needs and what it costs.

    Other packages add methods by entry points of the group okedit.methods.
    """
    from ..methods import method_named
    from ..methods import methods as names

    out = Output(json=json, quiet=quiet)
    found = [method_named(one) for one in ([name] if name else names())]
    if out.json:
        out.json_object({"methods": [_json(method) for method in found]})
        return
    if not name:
        rows = [[one.name, one.kind, one.summary, one.after] for one in found]
        columns = ("name", "kind", "what it does", "after")
        out.table(columns, rows, words=columns[1:], spare=("after",))
        return
    [method] = found
    for label, words in (
        ("name", method.name), ("kind", method.kind), ("does", method.summary), ("after", method.after),
        ("needs", method.needs), ("costs", method.costs or "-"),
        ("facts", "one after another, each on top of the last" if method.sequential else "each alone"),
    ):  # fmt: skip
        out.line(f"{label:6} {words}")
    for title, settings in (("setting", method.settings), ("of okedit train", method.training)):
        rows = [[one["name"], one["default"], one["help"]] for one in _settings(settings)]
        if rows:
            out.table((title, "default", "what it is"), rows, words=("default", "what it is"))


def _json(method: Any) -> dict[str, Any]:
    words = ("name", "kind", "summary", "after", "needs", "costs", "sequential")
    found = {word: getattr(method, word) for word in words} | {"settings": _settings(method.settings)}
    return found | ({"training": _settings(method.training)} if method.train else {})


def _settings(settings: type) -> list[dict[str, str]]:
    return [
        {"name": field.name, "default": _shown(field.default), "help": field.metadata.get("help", "")}
        for field in dataclasses.fields(settings)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "auto"
    return str(value).lower() if isinstance(value, bool) else str(value)
