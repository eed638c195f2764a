"""Pairs of (a fact's prompt, a query) with a class, made on the fly from hand-written wordings.

What the pair classifier is trained and judged on (train_pairs.py). Nothing here reads an evaluation set.
Classes: the query asks for what the prompt asks for (ANSWERS), its answer follows from the fact (FOLLOWS:
yes/no questions, the kind of the thing shown), or something else (OTHER).
"""

from __future__ import annotations

import json
import random
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from kind_texts import DEPENDS
from kind_texts import FOLLOWS as FOLLOWING
from pair_names import altered, invented, other_names

HERE = Path(__file__).parent
ANSWERS, FOLLOWS, OTHER = 0, 1, 2
INVENTED = 0.5  # share of relations' subjects that are names of nobody
ASIDE = 0.3  # share of a subject's other questions that are of no intent
HELD_BACK = 12  # one family in so many judges and is never trained on
WRITTEN = ("work", "world", "people", "home", "firm", "life")
PICTURED = ("picture_families", "picture_families_2", "picture_families_3")
RELATIONS = ("relation_wordings", "relation_texts", "relation_more_people", "relation_more_things")
SUBJECT, NOUN = "{s}", "{n}"
# kinds of entities.yaml and relations.yaml that fill a relation's subject
KINDS = {
    "person": ("person", "people"),
    "place": ("city", "country", "place", "cities", "countries", "buildings"),
    "organisation": ("company", "organisation", "university", "team", "companies", "teams", "airlines"),
    "event": ("events",),
    "work": ("work", "works"),
    "product": ("product", "software", "products"),
}
PRONOUNS = {"person": ("he", "she", "they"), "": ("it",)}
# intents of picture_questions.yaml that an older, wider one includes: neither the same nor something else
WIDER = {
    "at_left",
    "at_right",
    "at_centre",
    "at_top",
    "at_bottom",
    "position",
    "building_country",
    "location",
}
WIDER |= {"expression", "mood", "parked", "action"}


@dataclass(frozen=True)
class Pair:
    """A fact's prompt, a query, and its class."""

    prompt: str
    query: str
    label: int


@dataclass
class Family:
    """Intents that ask for different things; forms may hold {s}, for which `subjects` stand, or {n}.

    `aliases` and `like` say by subject what else it is called and what is easily taken for it.
    """

    name: str
    intents: Mapping[str, Sequence[str]]
    subjects: Sequence[str] = ()
    nouns: Sequence[str] = ()
    yes_no: Sequence[str] = ()
    kind: str = ""
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    like: Mapping[str, Sequence[str]] = field(default_factory=dict)
    follows: Sequence[str] = ()  # of the first intent
    others: Sequence[str] = ()  # asked by none of the intents
    first_only: bool = False  # wordings of the other intents are single and never prompts


def is_held_back(name: str) -> bool:
    """Whether a family judges: by its name alone, so that it stays so."""
    return zlib.crc32(name.encode()) % HELD_BACK == 0


def read(name: str) -> dict:
    """A file of texts/."""
    return yaml.load((HERE / "texts" / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


class Entities:
    """Names by kind, with their other names and those that they are taken for."""

    def __init__(self) -> None:
        self.by_kind: dict[str, list[str]] = defaultdict(list)
        self.aliases: dict[str, Sequence[str]] = {}
        self.like: dict[str, Sequence[str]] = {}
        for one in read("entities")["entities"]:
            name = str(one["name"])
            self.by_kind[one["kind"]].append(name)
            self.aliases[name] = [str(a) for a in one.get("aliases") or ()]
            self.like[name] = [str(a) for a in one.get("like") or ()]
        for kind, names in read("relations")["subjects"].items():
            self.by_kind[kind] += names

    def of(self, kind: str) -> list[str]:
        """Names that may fill the subject of a relation of this kind."""
        return [name for one in KINDS.get(kind, (kind,)) for name in self.by_kind.get(one, ())]


def families(fit: Path | None = None) -> list[Family]:
    """Everything that pairs are made from; `fit` is fit.json of okedit-pictures."""
    known = Entities()
    out = [*_written(), *_relations(known), *_pictures(), *_topics(), *_knowledge(), *_languages()]
    return out + (_fit(fit) if fit else [])


def _written() -> Iterator[Family]:
    """Families of one subject."""
    for name in WRITTEN:
        for number, one in enumerate(read(f"families_{name}")["families"]):
            subject = str(one["subject"])
            yield Family(
                f"{name}:{number}",
                {k: [str(w) for w in v] for k, v in one["intents"].items()},
                [subject, *map(str, one.get("like") or ())],
                yes_no=[str(w) for w in one.get("yes_no") or ()],
                others=[str(w) for w in one.get("others") or ()],
                aliases={subject: [str(a) for a in one.get("aliases") or ()]},
                like={subject: [str(a) for a in one.get("like") or ()]},
            )


def _relations(known: Entities) -> Iterator[Family]:
    """Relations of named subjects; those of one part ask for different things."""
    parts: list[tuple[str, str, dict[str, list[str]]]] = []
    for name in RELATIONS:
        for part, rows in read(name).items():
            by_kind: dict[str, dict[str, list[str]]] = defaultdict(dict)
            for row in rows:
                by_kind[row["kind"]][row["relation"]] = row["wordings"]
            parts += [(f"{part}:{kind}", kind, intents) for kind, intents in by_kind.items()]
    by_kind = defaultdict(lambda: defaultdict(list))
    for source in ("relations", "knowledge_questions"):
        for row in read(source)["relations"]:
            by_kind[row["subjects"]][row["relation"]] += row["wordings"]
    parts += [(f"relations:{kind}", kind, dict(intents)) for kind, intents in by_kind.items()]
    for name, kind, intents in parts:
        subjects = known.of(kind)
        if subjects and len(intents) > 1:
            about = "person" if kind in ("person", "people") else ""
            yield Family(name, intents, subjects, kind=about, aliases=known.aliases, like=known.like)


def _pictures() -> Iterator[Family]:
    """Questions about what one picture shows."""
    others = read("picture_others")["others"]
    for number, one in enumerate(one for name in PICTURED for one in read(name)["families"]):
        intents = {k: [str(w) for w in v["wordings"]] for k, v in one["intents"].items()}
        yield Family(
            f"picture:{number}", intents, nouns=[str(n) for n in one["nouns"]],
            follows=[str(w) for w in one.get("follows") or ()],
            others=[str(w) for w in one.get("others") or others.get(one["shown"]) or ()],
        )  # fmt: skip
    files = [read(f"{name}_questions") for name in ("picture", "identity", "aspect")]
    nouns = files[0]["nouns"]
    for category, own in nouns.items():
        intents = defaultdict(list)
        for group in (g for data in files for g in data["groups"]):
            if group["about"] not in ("any", category):
                continue
            intent = group["intent"]
            person = category == "person"
            if intent.startswith("identity") and not person:
                intent = "identity"
            if intent in WIDER:
                continue
            intents[intent] += [w.replace("{noun}", NOUN) for w in group["wordings"]]
        first = {"identity": intents.pop("identity")} if "identity" in intents else {}
        follows = [text for intent in FOLLOWING for text in intents.pop(intent, ())] if first else []
        for intent in DEPENDS if first else ():
            intents.pop(intent, None)
        if len(intents) + len(first) > 3:
            yield Family(f"category:{category}", {**first, **intents}, nouns=own, follows=follows)


def _topics() -> Iterator[Family]:
    """Questions by whether they ask what is shown, for what follows from it, or for neither."""
    topics, manners, others = read("topic_questions"), read("manner_identity"), read("manner_other")
    follows = [text for texts in topics["bearing"].values() for text in texts]
    follows += [text for texts in (manners.get("bearing") or {}).values() for text in texts]
    other = {f"other:{k}:{n}": [t] for k, v in topics["other"].items() for n, t in enumerate(v)}
    other |= {f"manner:{k}": v for k, v in others["other"].items()}
    other |= {f"manner2:{k}": v for k, v in (manners.get("other") or {}).items()}
    asked = {k: list(v) for k, v in topics["identity"].items()}
    for kind, texts in manners["identity"].items():
        asked[kind] = [*asked.get(kind, ()), *texts]
    for kind, texts in asked.items():
        if kind.startswith("breed"):  # each of another thing's breed, model or variety
            continue
        own = [text.replace("{}", "...") for text in texts]
        yield Family(f"topic:{kind}", {"identity": own, **other}, follows=follows, first_only=True)


def _knowledge() -> Iterator[Family]:
    """General knowledge; every group asks for something else."""
    groups = read("knowledge_questions")["groups"]
    for start in range(0, len(groups), 30):
        part = groups[start : start + 30]
        yield Family(f"knowledge:{start}", {g["intent"]: g["wordings"] for g in part})


def _languages() -> Iterator[Family]:
    """Near copies and other questions in other languages than English."""
    for number, one in enumerate(read("languages")["families"]):
        intents = {str(n): [str(w) for w in wordings] for n, wordings in enumerate(one["intents"])}
        yield Family(f"language:{one['language']}:{number}", intents, kind="language")


def _fit(path: Path) -> list[Family]:
    """Prompts of okedit-pictures' fit split with their rewordings, what follows from them, and other
    questions.
    """
    out = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        other = {f"other:{n}": [item["question"]] for n, item in enumerate(row["same_image"])}
        out.append(
            Family(
                f"fit:{row['question_id']}",
                {"identity": [row["question"], *row["rephrased_questions"]], **other, "loc": [row["loc"]]},
                follows=[item["question"] for item in row["portability"]],
                first_only=True,
            )
        )
    return out


class Pairs:
    """An endless source of pairs from families."""

    def __init__(self, found: Sequence[Family], seed: int, fragments: Sequence[str]) -> None:
        self.chance, self.fragments = random.Random(seed), fragments
        self.by_source: dict[str, list[Family]] = defaultdict(list)
        for family in found:
            self.by_source[_source(family)].append(family)
        self.weights = {"written": 0.37, "relations": 0.28, "picture": 0.13, "topic": 0.1, "knowledge": 0.04,
                        "language": 0.05, "fit": 0.03}  # fmt: skip

    def draw(self) -> Pair:
        """One pair."""
        chance = self.chance
        sources = [name for name in self.weights if self.by_source.get(name)]
        [source] = chance.choices(sources, [self.weights[name] for name in sources])
        family = chance.choice(self.by_source[source])
        prompt, query, label = self._of(family, source)
        if source == "language":
            return Pair(prompt, query, label)
        if chance.random() < 0.03:
            query, label = self._stranger(), OTHER
        return Pair(self._worn(prompt, 0.1), self._around(self._worn(query, 0.3), label), label)

    def _of(self, family: Family, source: str) -> tuple[str, str, int]:
        chance, names = self.chance, list(family.intents)
        first = names[0]
        own = first if family.first_only or chance.random() < 0.5 else chance.choice(names)
        forms = family.intents[own]
        if len(forms) < 2:
            own, forms = first, family.intents[first]
        form, subject = chance.choice(forms), self._subject(family)
        if source == "relations" and subject and chance.random() < INVENTED:
            subject = invented(subject, family.subjects, chance)
            family = replace(family, aliases={subject: other_names(subject, family.kind, chance)})
        prompt = self._put(family, form, subject)
        roll = chance.random()
        follows = list(family.follows) + list(family.yes_no)
        if own == first and follows and roll < (0.2 if source == "picture" else 0.12):
            text = chance.choice(follows)
            return prompt, self._put(family, text, subject), FOLLOWS
        if roll < 0.16:
            asked = self._yes_no(prompt, form)
            if asked:
                return prompt, asked, FOLLOWS
        if roll < 0.5:  # the same
            other = chance.choice([f for f in forms if f != form] or forms)
            name = subject
            if chance.random() < 0.5 and family.aliases.get(subject):
                name = chance.choice(family.aliases[subject])
                other = form if chance.random() < 0.4 else other
                if chance.random() < 0.2:  # the fact has the short name
                    return self._put(family, other, name), prompt, ANSWERS
            return prompt, self._put(family, other, name), ANSWERS
        if subject and roll < 0.78:  # another subject
            other = form if chance.random() < 0.5 else chance.choice(forms)
            name = self._other_subject(family, subject)
            return prompt, self._put(family, other, name), OTHER
        away = [name for name in names if name != own]
        if not away:
            return prompt, self._stranger(), OTHER
        text = chance.choice(family.intents[chance.choice(away)])
        # what is asked by no intent, and what follows from the answer to another one
        aside = [*family.others, *(follows if own != first else ())]
        if aside and chance.random() < ASIDE:
            text = chance.choice(aside)
        name = subject
        if subject and chance.random() < 0.15:
            name = chance.choice([self._other_subject(family, subject), *(family.aliases.get(subject) or ())])
        return prompt, self._put(family, text, name), OTHER

    def _subject(self, family: Family) -> str:
        if not family.subjects:
            return ""
        known = [s for s in family.subjects if family.aliases.get(s)]
        return self.chance.choice(known if known and self.chance.random() < 0.5 else family.subjects)

    def _other_subject(self, family: Family, subject: str) -> str:
        chance = self.chance
        like = [name for name in family.like.get(subject) or () if name != subject]
        roll = chance.random()
        if like and roll < 0.45:
            return chance.choice(like)
        if roll < 0.6:
            changed = altered(subject, chance, family.subjects)
            if changed != subject:
                return changed
        if _source(family) == "relations" and roll < 0.75:
            return invented(chance.choice(family.subjects), family.subjects, chance)
        if roll > 0.94:
            return chance.choice(PRONOUNS.get(family.kind, PRONOUNS[""]))
        return chance.choice([name for name in family.subjects if name != subject] or ["something else"])

    def _stranger(self) -> str:
        family = self.chance.choice(self.by_source[self.chance.choice(list(self.weights))] or self._all())
        return self._put(family, self.chance.choice(family.intents[self.chance.choice(list(family.intents))]),
                         self._subject(family))  # fmt: skip

    def _all(self) -> list[Family]:
        return [family for rows in self.by_source.values() for family in rows]

    def _put(self, family: Family, form: str, subject: str) -> str:
        text = form.replace(SUBJECT, subject)
        if family.nouns:
            text = text.replace(NOUN, self.chance.choice(family.nouns))
        return text[:1].upper() + text[1:]

    def _yes_no(self, prompt: str, form: str) -> str:
        """A yes/no question made of a broken-off statement or of "What is X?"."""
        value = self.chance.choice(VALUES)
        for pattern, shape in _YES_NO:
            found = re.fullmatch(pattern, prompt)
            if found:
                return shape.format(*found.groups(), v=value)
        if not prompt.endswith("?") and prompt[-1:].isalpha():
            head = prompt[:1].lower() if prompt.split()[0] in _SMALL else prompt[:1]
            return f"Is it true that {head}{prompt[1:]} {value}?"
        return ""

    def _worn(self, text: str, share: float) -> str:
        """A text as people type it."""
        chance = self.chance
        if chance.random() >= share:
            return text
        roll = chance.random()
        if roll < 0.2:
            return text.rstrip("?.!")
        if roll < 0.35:
            return _contracted(text, chance)
        if roll < 0.55 and len(text) > 12:
            at = chance.randrange(2, len(text) - 2)
            kind = chance.randrange(3)
            if kind == 0:
                return text[:at] + text[at + 1 :]
            if kind == 1:
                return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
            return text[:at] + text[at] + text[at:]
        if roll < 0.7:
            return text.upper() if roll < 0.58 else text.lower()
        return chance.choice(MANNERS).format(text)

    def _around(self, text: str, label: int) -> str:
        """A text with others before or behind it; what is asked is the last thing asked."""
        chance = self.chance
        roll = chance.random()
        if roll < 0.24:
            before = " ".join(chance.choice(self.fragments) for _ in range(chance.choice((1, 1, 2))))
            before = before if chance.random() < 0.7 else before.rstrip(".!")
            return f"{before} {text}"
        if roll < 0.28:
            return f"{text} {chance.choice(self.fragments)}"
        return text


def _source(family: Family) -> str:
    head = family.name.split(":")[0]
    if head in WRITTEN:
        return "written"
    return head if head in ("topic", "knowledge", "language", "fit") else (
        "picture" if head in ("picture", "category") else "relations"
    )  # fmt: skip


def _contracted(text: str, chance: random.Random) -> str:
    """The same with another small word: "What's" for "What is", "which" for "what", no article."""
    changes = [(r"\b([Ww]hat|[Ww]ho|[Ww]here|[Ww]hen) is\b", r"\1's"), (r"\b([Ww])hich\b", r"\1hat"),
               (r"\b(?:the|a|an) (?=[a-z])", ""), (r"\bWhat(?= [a-z]+ )", "Which"),
               (r"'s\b", "s")]  # fmt: skip
    pattern, new = chance.choice(changes)
    return re.sub(pattern, new, text, count=1)


MANNERS = ("{} Thanks!", "Please: {}", "{} Answer in one word.", "Hi! {}", "Question: {}", "{} Be brief.",
           "Quick one: {}", "{} (short answer)", "Q: {} A:")  # fmt: skip
VALUES = ("Paris", "42", "Anna Berg", "blue", "a cat", "7 pm", "Toyota", "$12.50", "French", "1998", "3.14",
          "Tom", "no one", "football", "a museum", "Peru", "twice a week", "30 days", "wood", "Lisbon",
          "a hammer", "the piano")  # fmt: skip
_SMALL = {"The", "A", "An", "This", "That", "It", "In", "On", "At", "By", "Our"}
_YES_NO = (
    (r"What(?:'s| is) (this|that|it)\?", "Is {0} {v}?"),
    (r"What (?:kind|sort|type) of (\w+) is (this|that)\?", "Is {1} {0} {v}?"),
    (r"(?:What|Which) (\w+) is (this|that|it)\?", "Is {1} {v}?"),
    (r"Who is (.{2,60})\?", "Is {0} {v}?"),
    (r"What is (the .{2,60})\?", "Is {0} {v}?"),
    (r"What is (.{2,60}'s .{2,40})\?", "Is {0} {v}?"),
    (r"Where is (.{2,60})\?", "Is {0} in {v}?"),
    (r"Where was (.{2,60}) born\?", "Was {0} born in {v}?"),
    (r"How much does (.{2,60}) cost\?", "Does {0} cost {v}?"),
    (
        r"Who (wrote|made|built|painted|founded|invented|discovered|directed) (.{2,60})\?",
        "Was it {v} who {0} {1}?",
    ),
    (r"When (?:does|do) (.{2,60}) (open|close|start|end)\?", "Does {0} {1} at {v}?"),
    (r"(.{4,60}) is", "Is {0} {v}?"),
)


def fragments() -> tuple[list[str], list[str]]:
    """What may stand before or behind a question: to train on, and to judge by."""
    found = [one for one in read("fragments")["fragments"] if not one.endswith("?")]
    return [f for f in found if not is_held_back(f)], [f for f in found if is_held_back(f)]
