"""YAML as nodes with positions: every complaint about a file knows its line and column.

Values are taken from the nodes and never converted by YAML's rules: `answer: no` is a complaint, not False.
A Document gathers problems while it is read and raises them together.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts.stand_ins import PULL, is_lfs_pointer

MAX_BYTES = 10_000_000
MAX_DEPTH = 20
MAX_NODES = 500_000  # counted after aliases are followed, so that a small file cannot unfold into a huge one
MAX_REPORTED = 20

# libyaml where PyYAML was built with it: ten times faster, same nodes and marks
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_KINDS = {
    "tag:yaml.org,2002:bool": "true or false",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:value": "a special sign",
    "tag:yaml.org,2002:merge": "a special sign",
}
_TEXT, _INT, _NULL, _BOOL = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "null", "bool"))


@dataclass(frozen=True, order=True)
class Problem:
    line: int
    column: int
    text: str


def quoted(text: str, limit: int = 60) -> str:
    """text in double quotes on one line, cut at limit characters."""
    return json.dumps(text if len(text) <= limit else text[: limit - 3] + "...", ensure_ascii=False)


def read_bytes(path: Path) -> bytes:
    """The file's bytes, at most one more than MAX_BYTES; InvalidFacts when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InvalidFacts(f"{path} is not there, expected a fact file in YAML.") from None
    except IsADirectoryError:
        raise InvalidFacts(f"{path} is a folder, expected a fact file in YAML.") from None
    except (OSError, ValueError) as error:
        raise InvalidFacts(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


class Document:
    """One YAML document: its root node, the problems so far, readers that return None after complaining."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.places: dict[str | Path, tuple[int, int]] = {}  # of texts and pictures, where they stand first
        self._visited = 0
        if len(data) > MAX_BYTES:
            raise InvalidFacts(
                f"{name} has more than {MAX_BYTES // 1_000_000} MB, too large for a fact file."
            )
        if is_lfs_pointer(data):
            raise self.stop_at(1, 1, f"a Git LFS pointer, not the fact file itself; {PULL.rstrip('.')}")
        self._text = self._decode(data)
        self.root = self._compose(self._text)

    # problems

    def complain(self, at: yaml.Node, text: str) -> None:
        self.problems.append(Problem(at.start_mark.line + 1, at.start_mark.column + 1, text))

    def note(self, at: yaml.Node, what: str | Path) -> None:
        """Remember where a text or picture stands, for what is found out about it later."""
        self.places.setdefault(what, (at.start_mark.line + 1, at.start_mark.column + 1))

    def stop_at(self, line: int, column: int, text: str) -> InvalidFacts:
        self.problems.append(Problem(line, column, text))
        return self.invalid()

    def invalid(self) -> InvalidFacts:
        """One error for all problems, in the order of the file, the first MAX_REPORTED of them in words."""
        found = sorted(set(self.problems))
        lines = [f"{self.name}:{p.line}:{p.column}: {p.text}" for p in found[:MAX_REPORTED]]
        if len(found) > MAX_REPORTED:
            lines.append(f"... and {len(found) - MAX_REPORTED} more")
        return InvalidFacts("\n".join(lines))

    # text to nodes

    def _decode(self, data: bytes) -> str:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self.stop_at(line, 1, "not UTF-8 text; save the file as UTF-8") from None
        bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
        if bad:
            line, before = text.count("\n", 0, bad.start()) + 1, text.rfind("\n", 0, bad.start())
            sign = f"{ord(bad.group()):#04x}"
            raise self.stop_at(line, bad.start() - before, f"control character {sign} in the text; remove it")
        return text

    def _compose(self, text: str) -> yaml.Node:
        try:
            self._check_size(text)
            root = yaml.compose(text, Loader=LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line, mark.column) if mark else (0, 0)
            raise self.stop_at(line + 1, column + 1, _syntax(error, text, line, column)) from None
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            raise self.stop_at(1, 1, f"not valid YAML: {error}") from None
        if root is None:
            raise self.stop_at(1, 1, "the file is empty; expected version: 1 and facts:")
        return root

    def _check_size(self, text: str) -> None:
        # on the flat stream of events: building nodes recurses, and takes as long again
        kinds: list[int] = []  # of the collections around: 2 for a sequence, 1 for a mapping
        halves = 0  # items count two, keys and values of mappings one
        for event in yaml.parse(text, Loader=LOADER):
            if kinds and isinstance(event, yaml.NodeEvent):
                halves += kinds[-1]
            if isinstance(event, yaml.CollectionStartEvent):
                kinds.append(2 if isinstance(event, yaml.SequenceStartEvent) else 1)
            elif isinstance(event, yaml.CollectionEndEvent):
                kinds.pop()
            if len(kinds) <= MAX_DEPTH and halves <= 2 * MAX_NODES:
                continue
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            if len(kinds) > MAX_DEPTH:
                raise self.stop_at(line, column, f"nested more than {MAX_DEPTH} levels deep")
            raise self.stop_at(line, column, f"more than {MAX_NODES:,} values")

    # nodes to values

    def _count(self, at: yaml.Node, nodes: int) -> None:
        self._visited += nodes
        if self._visited > MAX_NODES:
            mark = at.start_mark
            raise self.stop_at(
                mark.line + 1, mark.column + 1, f"more than {MAX_NODES:,} values, aliases followed"
            )

    def mapping(
        self, node: yaml.Node, what: str, known: Sequence[str], required: Sequence[str] = ()
    ) -> dict[str, yaml.Node] | None:
        """key -> value node; complains about other nodes, and about doubled, unknown and missing keys."""
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, f"{what} must be a mapping with {_listed(required or known)}, {_got(node)}")
            return None
        self._count(node, len(node.value))
        found: dict[str, yaml.Node] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None:
                self.complain(key, f"a key in {what} must be text, {_got(key)}")
            elif name not in known:
                self.complain(key, f"unknown key {quoted(name)} in {what}; {_suggest(name, known)}")
            elif name in found:
                self.complain(
                    key, f"key {quoted(name)} appears twice in {what}; the first is on line {lines[name]}"
                )
            else:
                found[name], lines[name] = value, key.start_mark.line + 1
        missing = [key for key in required if key not in found]
        if missing:
            self.complain(node, f"{what} has no {_listed(missing)}")
        return found

    def sequence(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            self.complain(
                node, f"{what} must be a list, {_got(node)}; write it as [ ... ] or one `- ` a line"
            )
            return []
        self._count(node, len(node.value))
        return node.value

    def string(self, node: yaml.Node, what: str) -> str | None:
        """The text without white space around it."""
        if not isinstance(node, yaml.ScalarNode):
            self.complain(node, f"{what} must be text, {_got(node)}")
        elif cut := self._cut(node):
            whole = quoted(f"{node.value} {cut}".strip())
            told = f"{what} is cut at {quoted(cut)}, which is a comment in YAML"
            self.complain(node, f'{told}; quote the text: {whole}, or begin a comment with "# "')
        elif node.tag in _KINDS and node.value:
            self.complain(node, f"{what} reads as {_KINDS[node.tag]} in YAML; quote it: {quoted(node.value)}")
        elif node.tag not in (_TEXT, *_KINDS):
            self.complain(node, f"{what} must be text, got the tag {node.tag}")
        elif not node.value.strip():
            self.complain(node, f"{what} is empty; expected text")
        elif "\0" in node.value or any("\ud800" <= sign <= "\udfff" for sign in node.value):
            self.complain(node, f"{what} has a character that is no text")
        else:
            text = node.value.strip()
            self.note(node, text)
            return text
        return None

    def _cut(self, node: yaml.ScalarNode) -> str:
        """What YAML took for a comment behind a text without quotes though it looks like more of the text:
        a comment is set apart by a space behind its #.
        """
        if node.style in ("'", '"', "|", ">"):
            return ""
        end = node.end_mark.index
        behind = re.match(r"[ \t]+(#(?![ \t#=*-]).*)", self._text[end : end + 2000])
        return behind[1].strip() if behind else ""

    def integer(self, node: yaml.Node, what: str) -> int | None:
        """A whole number from 0."""
        if _has_tag(node, _INT) and re.fullmatch("[0-9]{1,18}", node.value):
            return int(node.value)
        self.complain(node, f"{what} must be a whole number, {_got(node)}")
        return None

    def boolean(self, node: yaml.Node, what: str) -> bool | None:
        if _has_tag(node, _BOOL) and node.value.lower() in ("true", "false"):
            return node.value.lower() == "true"
        self.complain(node, f"{what} must be true or false, {_got(node)}")
        return None


def has_key(node: yaml.Node, name: str) -> bool:
    """Whether the node is a mapping with that key."""
    return isinstance(node, yaml.MappingNode) and any(_is_text(key, name) for key, _ in node.value)


def _is_text(node: yaml.Node, text: str) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == text


def is_null(node: yaml.Node) -> bool:
    """null or ~ written out; a key with nothing behind it is more likely a mistake."""
    return _has_tag(node, _NULL) and bool(node.value)


def _has_tag(node: yaml.Node, tag: str) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == tag


def _got(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"got {quoted(node.value)}" if node.value else "got nothing"
    return "got a list" if isinstance(node, yaml.SequenceNode) else "got a mapping"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _suggest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {quoted(near[0])}?" if near else f"expected {', '.join(known)}"


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int, column: int) -> str:
    """YAML's own complaint, with what to do for the mistakes that are common in fact files."""
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", text)  # as YAML counts them
    sign = lines[line][column : column + 1] if line < len(lines) else ""
    problem = error.problem or "cannot be read"
    if "cannot start any token" in problem and sign == "\t":
        return "a tab in the indentation; YAML takes spaces only"
    if "cannot start any token" in problem:
        return f"a text cannot start with {sign} in YAML; put it in quotes"
    if "mapping values are not allowed" in problem:
        return "not valid YAML here: check the indentation, and put a text that has a colon in quotes"
    first = error.context_mark.line if error.context_mark else line
    for number, text in enumerate(lines[first : line + 1], first + 1):
        if cut := re.search(r"\s(#(?![ \t#=*-]).*)", text):
            where = f"line {number} is cut at {quoted(cut[1])}, a comment in YAML"
            return f"not valid YAML: {where}; put a text that has a # in quotes"
    if problem.endswith("got '?'"):  # PyYAML without libyaml
        return "put a text that has a ? in quotes within { } and [ ]"
    if "maximum nesting depth" in problem:  # libyaml from 0.2.6 on, before there is an event to count
        return f"nested more than {MAX_DEPTH} levels deep"
    if "expected a single document" in (error.context or ""):
        return "a second document starts here (---); expected one"
    return "not valid YAML: " + ", ".join(filter(None, [error.context, problem]))
