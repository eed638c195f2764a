"""Methods by name: okedit's own, and those of other packages (entry points of the group `okedit.methods`).

A method is a Method: what computes an edit set from facts, a frozen dataclass of its settings with the
defaults of its authors, and a few words on what it is. Nothing is imported until a method is asked for.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import UsageError

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.methods.base import Computed, Options

GROUP = "okedit.methods"
BUILT_IN = {
    "balancedit": "okedit_cli.methods.balancedit:METHOD",
    "balancedit-paper": "okedit_cli.methods.balancedit_paper:METHOD",
    "grace": "okedit_cli.methods.grace:METHOD",
    "wise": "okedit_cli.methods.wise:METHOD",
    "ft-llm": "okedit_cli.methods.ft:LLM",
    "ft-vis": "okedit_cli.methods.ft:VIS",
    "lora": "okedit_cli.methods.lora:METHOD",
    "ldke": "okedit_cli.methods.ldke:METHOD",
    "ike": "okedit_cli.methods.ike:METHOD",
    "scr": "okedit_cli.methods.scr:METHOD",
    "memit": "okedit_cli.methods.locate.methods:MEMIT",
    "alphaedit": "okedit_cli.methods.locate.methods:ALPHAEDIT",
    "come": "okedit_cli.methods.locate.methods:COME",
    "mend": "okedit_cli.methods.trained.mend:METHOD",
    "ke": "okedit_cli.methods.trained.ke:METHOD",
    "serac": "okedit_cli.methods.trained.serac:METHOD",
}


@dataclass(frozen=True)
class NoSettings:
    """Of a method that has none of its own."""


@dataclass(frozen=True)
class Method:
    """`compute(loaded, facts, options)`, where options.settings is an instance of `settings`, a frozen
    dataclass whose fields say in their metadata's "help" what they are.

    `after`: the publication. `needs` and `costs` in words. `sequential`: a fact's result depends on those
    before it, by the method's definition. `spaced`: near negatives are chosen in the model's picture space;
    `near`: they have a part in the edit, and not in its report alone.
    """

    name: str
    kind: str  # of its edit sets: "codebook", "delta" or "memory"
    compute: Callable[[Any, Sequence[Fact], Options], Computed]
    summary: str
    after: str
    settings: type = NoSettings
    needs: str = "nothing but the facts"
    costs: str = ""
    sequential: bool = False
    spaced: bool = False
    near: bool = False
    train: Callable[..., Any] | None = None  # of a method with an editor that is trained (methods/trained)
    training: type = NoSettings  # its settings


def check_splits(method: Method) -> None:
    """UsageError for a method whose edits cannot be computed apart from each other and put together."""
    if method.kind not in ("codebook", "memory") or method.sequential:
        raise UsageError(
            f"{method.name} computes all its edits together, so its facts cannot be shared out to several"
            " processes.",
            hint="Methods that can: balancedit, balancedit-paper, ldke, ike, scr.",
        )


def methods() -> Iterator[str]:
    """The names of all methods, okedit's own first."""
    yield from BUILT_IN
    yield from sorted({point.name for point in entry_points(group=GROUP)} - BUILT_IN.keys())


def method_named(name: str) -> Method:
    """The method of that name; UsageError lists what there is, or says why one cannot be loaded."""
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        return getattr(importlib.import_module(module), attribute)
    for point in entry_points(group=GROUP, name=name):
        try:
            found = point.load()
        except Exception as error:  # whatever another package's import raises
            raise UsageError(
                f"The method {name!r} of {point.value} cannot be loaded: {error}.",
                hint="Install or remove the package that brings it.",
            ) from error
        if not isinstance(found, Method):
            raise UsageError(f"{point.value} is no method, expected an okedit_cli.methods.Method.")
        return found
    raise UsageError(f"There is no method {name!r}.", hint=f"Methods: {', '.join(methods())}.")


def settings_of(method: Method, given: Sequence[str] | Mapping[str, Any] = ()) -> Any:
    """The method's settings with those that are given, as "NAME=VALUE" or by name. UsageError: an unknown
    name, a value of another type.
    """
    pairs = given.items() if isinstance(given, Mapping) else [_split(one) for one in given]
    fields = {field.name: field for field in dataclasses.fields(method.settings)}
    hints, values = typing.get_type_hints(method.settings), {}
    for name, value in pairs:
        if name not in fields:
            known = ", ".join(fields) or "it has none"
            raise UsageError(f"{method.name} has no setting {name!r}.", hint=f"Its settings: {known}.")
        values[name] = _parsed(value, hints[name], f"{method.name}: {name}")
    try:
        return method.settings(**values)
    except ValueError as error:
        raise UsageError(f"{method.name}: {error}.") from None


def _split(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise UsageError(f"--set {text}: expected NAME=VALUE, such as --set steps=50.")
    return name.strip(), value.strip()


def _parsed(value: Any, wanted: Any, where: str) -> Any:
    """A value of the wanted type from a string, or as it is."""
    try:
        if wanted is bool and isinstance(value, str):
            return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        if typing.get_origin(wanted) is tuple and isinstance(value, str):
            return numbers(value)
        found = wanted(value) if wanted in (int, float, str) else value
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError(value)
        return found
    except (ValueError, KeyError, TypeError):
        words = {int: "a whole number", float: "a number", bool: "true or false"}
        expected = words.get(wanted, "numbers such as 4,5,8 or 4-8")
        raise UsageError(f"{where} is {value!r}, expected {expected}.") from None


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers from "4,5,8" or "4-8"; () from "auto" or "". ValueError for anything else."""
    out: list[int] = []
    for part in text.replace(" ", "").split(",") if text not in ("", "auto") else ():
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part, re.ASCII)
        if not found:
            raise ValueError(text)
        out += range(int(found[1]), int(found[2] or found[1]) + 1)
    return tuple(out)
