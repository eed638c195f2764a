"""Facts as lines of JSON: those of a large bundle stand in a tensor, and are read one at a time. No torch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from okedit_cli.bundle.strict_json import REMAKE, parse_all
from okedit_cli.errors import InvalidBundle

MOST = 1000  # facts that a manifest lists itself, for any safetensors viewer to see; more become a tensor
TENSORS = {"facts": "facts", "dropped": "dropped_facts"}  # list of the manifest -> tensor that stands for it

FACT = {"id": str, "prompt": str, "answer": str}
FACT_OPTIONAL = {
    "picture_sha256": str,
    "note": str,
    "reach": str,
    "verbatim": bool,
    "whom": str,  # of bundles of format 1.0
    "report": dict,
    "accepted": list,
    "rephrases": list,
    "images": list,
    "keep": list,
    "related": list,
    "holdout": list,
    "renamed_from": str,
    "content": str,
}


class BundleWarning(UserWarning):
    """Something in a bundle deserves attention but does not stop its use."""


class Lines(Sequence):
    """The facts in a tensor of text, each parsed and checked when it is first asked for.

    InvalidBundle comes when a fact is read that is not one; reading all of them also compares their ids.
    """

    def __init__(self, data: bytes, kind: str, shown: str) -> None:
        self.kind, self.shown = kind, shown
        if data and not data.endswith(b"\n"):
            raise InvalidBundle(f"{shown}: the last line of its {kind} is cut short.", hint=REMAKE)
        self._lines = data.split(b"\n")[:-1]
        self._rows: list[dict[str, Any] | None] = [None] * len(self._lines)
        self._whole = False

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, place: int | slice) -> Any:
        numbers = range(len(self))[place]
        if isinstance(numbers, int):
            return self._read([numbers])[0]
        return self._read(numbers)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, Lines)):
            return NotImplemented
        return len(self) == len(other) and self._all() == list(other)

    __hash__ = None

    def _read(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        new = [number for number in numbers if self._rows[number] is None]
        found = parse_all([self._lines[number] for number in new], self.shown, f"line of {self.kind}")
        for number, fact in zip(new, found, strict=True):
            check_fact(fact, self.kind, number, self.shown)
            self._rows[number] = fact
        return [self._rows[number] for number in numbers]

    def _all(self) -> list[dict[str, Any]]:
        facts = self._read(range(len(self)))
        if not self._whole:
            check_ids(facts, self.kind, self.shown)
            if unknown := unknown_fields(facts):
                warnings.warn(
                    f"{self.shown}: its facts have fields that this okedit does not know and leaves aside: "
                    f"{', '.join(unknown[:10])}.",
                    BundleWarning,
                    stacklevel=4,
                )
            self._whole = True
        return facts


def lines_of(facts: Sequence[Mapping[str, Any]], kind: str, shown: str) -> bytes:
    """Facts as canonical JSON, one a line; InvalidBundle when one is not what a reader would take."""
    check_facts(facts, kind, shown)
    try:
        rows = [canonical(fact) for fact in facts]
        return ("\n".join(rows) + "\n").encode("utf-8") if rows else b""
    except (ValueError, TypeError, RecursionError) as error:
        raise unwritable(shown, error) from None


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, no escapes beyond what JSON needs, finite numbers only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def unwritable(shown: str, error: Exception) -> InvalidBundle:
    """What to say of a value that JSON does not have."""
    return InvalidBundle(
        f"{shown}: the manifest cannot be written as JSON ({error}).",
        hint="Every value must be text, a finite number, true, false, null, a list or a dict.",
    )


def unknown_fields(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of fields that no version up to this one writes."""
    names = set().union(*facts) - {*FACT, *FACT_OPTIONAL}
    return [f"facts[].{name[:80]}" for name in sorted(names)]


def check_facts(facts: Sequence[Any], kind: str, shown: str) -> None:
    """InvalidBundle naming the first fact that is not of the documented types, or two that share an id."""
    for number, fact in enumerate(facts):
        check_fact(fact, kind, number, shown)
    check_ids(facts, kind, shown)


def check_fact(fact: Any, kind: str, number: int, shown: str) -> None:
    """InvalidBundle unless `fact` is an object with the documented types."""
    if not isinstance(fact, dict):
        raise InvalidBundle(f"{shown}: {kind}[{number}] must be a JSON object.", hint=REMAKE)
    typed(fact, FACT, FACT_OPTIONAL, f"{shown}: {kind}[{number}]:", null=True)
    if not fact["id"]:
        raise _taken("", kind, number, shown)


def check_ids(facts: Sequence[Mapping[str, Any]], kind: str, shown: str) -> None:
    """InvalidBundle when two edits share an id; records of dropped ones may."""
    if kind != "facts" or len({fact["id"] for fact in facts}) == len(facts):
        return
    seen: set[str] = set()
    for number, fact in enumerate(facts):
        if fact["id"] in seen:
            raise _taken(fact["id"], kind, number, shown)
        seen.add(fact["id"])


def _taken(name: str, kind: str, number: int, shown: str) -> InvalidBundle:
    return InvalidBundle(
        f"{shown}: {kind}[{number}] has an id that is empty or taken: {name[:80]!r}.",
        hint="Give every fact its own id.",
    )


def typed(
    values: Mapping[str, Any],
    required: Mapping[str, type],
    optional: Mapping[str, type],
    where: str,
    *,
    null: bool = False,
) -> None:
    """InvalidBundle naming the first value of another type; with `null` an optional one may be null."""
    for name, kind in required.items():
        value = values.get(name)
        if not isinstance(value, kind) or value is True or value is False:
            raise _wrong(where, name, kind, value)
    for name, kind in optional.items():
        if name in values and not isinstance(values[name], kind) and not (null and values[name] is None):
            raise _wrong(where, name, kind, values[name])


def _wrong(where: str, name: str, kind: type, value: Any) -> InvalidBundle:
    return InvalidBundle(
        f"{where} {name} must be of type {kind.__name__}, got {str(value)[:40]!r}.", hint=REMAKE
    )
