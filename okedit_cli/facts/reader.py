"""Facts in: a fact file read, every complaint with its line and column."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts.ids import ID, ID_LENGTH, slug, with_ids
from okedit_cli.facts.nodes import Document, has_key, is_null, quoted, read_bytes
from okedit_cli.facts.schema import REACHES, VERSION, Fact, FactFile, Question
from okedit_cli.facts.stand_ins import Fetch, fetched, is_url

_FILE_KEYS = ("version", "model", "defaults", "facts")
_DEFAULT_KEYS = ("method", "layer", "device", "dtype", "seed")
_FACT_KEYS = ("id", "image", "prompt", "answer", "answers", "reach", "rephrases", "images")
_FACT_KEYS += ("keep", "related", "holdout", "verbatim")


def load_facts(path: str | os.PathLike[str], *, fetch: Fetch | None = None) -> FactFile:
    """Read a fact file ("-" is standard input); InvalidFacts names up to 20 problems as file:line:column.
    `fetch` gets pictures that are named by URL (remote.Remote); without it these are a problem.
    """
    path = Path(path)
    if str(path) == "-":
        # pictures are then relative to the working folder
        return FactReader(Document(sys.stdin.buffer.read(), "<stdin>"), Path(), fetch).read(path)
    return FactReader(Document(read_bytes(path), str(path)), path.parent, fetch).read(path)


class FactReader:
    """One pass over a document's nodes; `folder` is what picture paths are relative to."""

    def __init__(self, document: Document, folder: Path, fetch: Fetch | None = None) -> None:
        self.document, self.folder, self.fetch = document, folder, fetch
        self._lines: dict[str, int] = {}  # id -> line
        self._asked: dict[tuple[Path | None, str], int] = {}  # picture and prompt -> line

    def read(self, path: Path) -> FactFile:
        document, model, defaults, facts = self.document, None, {}, []
        root = document.mapping(document.root, "the fact file", _FILE_KEYS, ("version", "facts"))
        if root is not None:
            if "version" in root:
                self._version(root["version"])
            if "model" in root:
                model = document.string(root["model"], "model")
            if "defaults" in root:
                defaults = self._defaults(root["defaults"])
            if "facts" in root:
                facts = self._facts(root["facts"])
        if document.problems:
            raise document.invalid()
        return FactFile(path, tuple(facts), model, defaults, document.places)

    def _version(self, node: yaml.Node) -> None:
        version = self.document.integer(node, "version")
        if version is not None and version != VERSION:
            self.document.complain(node, f"version {version} of the format is not known, expected {VERSION}")

    def _defaults(self, node: yaml.Node) -> dict[str, str | int]:
        defaults: dict[str, str | int] = {}
        for key, value in (self.document.mapping(node, "defaults", _DEFAULT_KEYS) or {}).items():
            number = key == "seed" or (key == "layer" and value.value != "auto")
            read = self.document.integer if number else self.document.string
            found = read(value, f"the default {key}")
            if found is not None:
                defaults[key] = found
        return defaults

    def _facts(self, node: yaml.Node) -> list[Fact]:
        nodes = self.document.sequence(node, "facts")
        if isinstance(node, yaml.SequenceNode) and not nodes:
            self.document.complain(node, "facts is empty; expected at least one fact")
        return with_ids([fact for fact in map(self._fact, nodes) if fact is not None])

    def _fact(self, node: yaml.Node) -> Fact | None:
        document = self.document
        needed = ("prompt",) if has_key(node, "answers") else ("prompt", "answer")
        keys = document.mapping(node, "a fact", _FACT_KEYS, needed)
        if keys is None:
            return None
        prompt, answers = self._text(keys, "prompt"), self._answers(keys)
        reach = self._text(keys, "reach") or "auto"
        if reach not in REACHES:
            document.complain(keys["reach"], f"unknown reach {quoted(reach)}; expected auto, kind or picture")
        pictured = "image" in keys and not is_null(keys["image"])
        image = self._picture(keys["image"], "image") if pictured else None
        identity = self._id(keys["id"]) if "id" in keys else ""
        views = self._list(keys, "images")
        if views and not pictured:
            document.complain(keys["images"], "images are further views of image, and this fact has no image")
        rephrases = (document.string(item, "a rephrase") for item in self._list(keys, "rephrases"))
        if prompt and pictured == (image is not None):
            self._asked_once(node, image, prompt)
        return Fact(
            id=identity or "",
            prompt=prompt or "",
            answer=answers[0] if answers else "",
            accepted=answers[1:],
            image=image,
            rephrases=tuple(filter(None, rephrases)),
            images=tuple(filter(None, (self._picture(item, "a view in images") for item in views))),
            keep=self._questions(keys, "keep", image),
            related=self._questions(keys, "related", image, answered=True),
            holdout=self._questions(keys, "holdout", image),
            reach=reach,
            verbatim=document.boolean(keys["verbatim"], "verbatim") if "verbatim" in keys else None,
            line=node.start_mark.line + 1,
        )

    def _answers(self, keys: dict[str, yaml.Node]) -> tuple[str, ...]:
        """The answer to give, and what counts as right beside it; () after a complaint."""
        if "answers" not in keys:
            return tuple(filter(None, [self._text(keys, "answer")]))
        node = keys["answers"]
        if "answer" in keys:
            self.document.complain(
                node, "answer and answers stand in one fact; write the first one first in answers"
            )
        texts = [self.document.string(item, "an answer") for item in self._list(keys, "answers")]
        if isinstance(node, yaml.SequenceNode) and not texts:
            self.document.complain(
                node, "answers is empty; expected the answer to give, and others that are right"
            )
        return tuple(dict.fromkeys(filter(None, texts)))

    def _asked_once(self, node: yaml.Node, image: Path | None, prompt: str) -> None:
        # one key in the codebook cannot have two answers
        asked, line = (image, prompt.casefold()), node.start_mark.line + 1
        if asked in self._asked:
            first = self._asked[asked]
            self.document.complain(node, f"asks the same of the same picture as the fact on line {first}")
        self._asked.setdefault(asked, line)

    def _text(self, keys: dict[str, yaml.Node], key: str) -> str | None:
        return self.document.string(keys[key], key) if key in keys else None

    def _list(self, keys: dict[str, yaml.Node], key: str) -> list[yaml.Node]:
        return self.document.sequence(keys[key], key) if key in keys else []

    def _id(self, node: yaml.Node) -> str | None:
        identity = self.document.string(node, "id")
        if identity is None:
            return None
        if not ID.fullmatch(identity) or len(identity) > ID_LENGTH:
            wanted = f"a-z, 0-9 and single - between them, at most {ID_LENGTH} long"
            self.document.complain(node, f"id {quoted(identity)} must be {wanted}; try {slug(identity)}")
            return None
        if identity in self._lines:
            first = self._lines[identity]
            self.document.complain(node, f"id {identity} is taken by the fact on line {first}")
        self._lines.setdefault(identity, node.start_mark.line + 1)
        return identity

    def _picture(self, node: yaml.Node, what: str) -> Path | None:
        name = self.document.string(node, what)
        if name is None:
            return None
        if is_url(name):
            try:
                self.document.note(node, picture := fetched(name, self.fetch))
                return picture
            except InvalidFacts as error:
                return self.document.complain(node, f"{what} {error.message}")
        picture = self.folder / name
        self.document.note(node, picture)
        try:
            missing = "is a folder" if picture.is_dir() else "" if picture.exists() else "is not there"
        except OSError as error:  # a name too long, a folder that may not be read
            missing = f"cannot be read ({error.strerror})"
        if missing:
            self.document.complain(node, f"picture {quoted(name)} {missing}; looked for {picture}")
            return None
        return picture

    def _questions(
        self, keys: dict[str, yaml.Node], key: str, own: Path | None, *, answered: bool = False
    ) -> tuple[Question, ...]:
        known = ("image", "prompt", "answer") if answered else ("image", "prompt")
        required = ("prompt", "answer") if answered else ("prompt",)
        questions = []
        for node in self._list(keys, key):
            found = self.document.mapping(node, f"a question in {key}", known, required)
            if found is None:
                continue
            image = own
            if "image" in found:
                image = None if is_null(found["image"]) else self._picture(found["image"], "image")
            questions.append(Question(self._text(found, "prompt") or "", image, self._text(found, "answer")))
        return tuple(questions)
