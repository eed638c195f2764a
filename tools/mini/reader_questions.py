"""What the reader of notes is taught on: (told prompt, told answer, question, answer) of okedit-mini.

Told are things and countries of the fit split of okedit-pictures, and things of the model's vocabulary that
no test edit could be called; asked is what follows from them. Wordings are those of tools/scope, but for
any that okedit-pictures asks in its test split.
"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "scope"))

from kind_texts import DEPENDS, FOLLOWS, a_choice, free_questions, kind_questions, plain  # noqa: E402

from okedit_cli.dataset.photographs import CLASSES as PHOTOGRAPHED  # noqa: E402
from okedit_cli.dataset.portability import CLASSES, FACTS  # noqa: E402
from okedit_cli.dataset.questions import half  # noqa: E402
from okedit_cli.dataset.sources import gather  # noqa: E402
from okedit_cli.dataset.splits import split  # noqa: E402
from okedit_cli.dataset.things import fold, stock  # noqa: E402

# kind of the vocabulary -> sort and finer kind of okedit-pictures; what is none of its sorts is left out
KINDS = {
    "aircraft": ("vehicle", "aircraft"), "amphibian": ("animal", "amphibian"), "bird": ("animal", "bird"),
    "boat": ("vehicle", "boat"), "bug": ("animal", "insect"), "building": ("place", ""),
    "clothing": ("clothing", ""), "container": ("household item", ""), "device": ("device", ""),
    "dish": ("food", "dish"), "dog": ("animal", "mammal"), "drink": ("drink", ""),
    "fish": ("animal", "fish"),
    "flower": ("plant", "flower"), "food": ("food", ""), "fruit": ("food", "fruit"),
    "furniture": ("household item", ""), "game": ("toy or game", ""),
    "household item": ("household item", ""),
    "lock or key": ("tool", ""), "mammal": ("animal", "mammal"), "medical item": ("medical item", ""),
    "musical instrument": ("musical instrument", ""), "office supply": ("office item", ""),
    "person": ("person", ""), "place": ("place", ""), "plant": ("plant", ""),
    "reptile": ("animal", "reptile"),
    "science equipment": ("tool", ""), "sea creature": ("animal", ""), "sport": ("sports item", ""),
    "sweet": ("food", "sweet"), "tool": ("tool", ""), "vegetable": ("food", "vegetable"),
    "vehicle": ("vehicle", ""), "weapon": ("tool", ""), "weather": ("sky or weather", ""),
    "writing tool": ("office item", ""),
}  # fmt: skip
# intent of the bank -> (sorts or finer kinds it is true of, those it is false of)
YES = {
    "edible": (("food",), ("vehicle", "device", "tool", "clothing", "place", "household item")),
    "is_alive": (("animal", "plant"), ("vehicle", "device", "tool", "clothing", "household item")),
    "is_animal": (("animal",), ("food", "vehicle", "device", "tool", "clothing", "plant", "place")),
    "is_vehicle": (("vehicle",), ("food", "animal", "device", "tool", "clothing", "plant", "place")),
    "is_tool": (("tool",), ("food", "animal", "vehicle", "clothing", "plant", "place")),
    "is_bird": (("bird",), ("mammal", "fish", "insect", "reptile", "amphibian")),
    "is_mammal": (("mammal",), ("bird", "fish", "insect", "reptile", "amphibian")),
    "is_insect": (("insect",), ("bird", "fish", "mammal", "reptile", "amphibian")),
    "is_reptile": (("reptile",), ("bird", "fish", "insect", "mammal")),
    "is_fish": (("fish",), ("bird", "mammal", "insect", "reptile", "amphibian")),
    "lays_eggs": (("bird", "reptile", "fish", "insect", "amphibian"), ("mammal",)),
    "needs_power": (("device",), ("animal", "food", "clothing", "plant", "drink")),
}  # fmt: skip
ASKS_YES = ("is ", "can ", "does ", "do ", "could ", "may ", "would ")


class Row(NamedTuple):
    """One thing to learn: a note's prompt and answer, and a question that it bears on with its answer."""

    told: str
    says: str
    question: str
    answer: str  # "" where the reader must leave the model as it is


class Thing(NamedTuple):
    """A thing's name, sort and finer kind ("" for none that everybody would give)."""

    name: str
    sort: str
    fine: str


class Questions:
    """Rows drawn by chance; every tenth thing and every sixth wording is held back to judge by."""

    def __init__(self, seed: int = 0):
        chance = random.Random(seed)
        found = gather(0)
        parts = split(found.things, [names[0] for _, names in PHOTOGRAPHED], 0)
        lands = {t.land: found.lands[t.land] for t in parts["fit"].all if t.land}
        self.lands = [
            (t.name, lands[t.land]) for t in parts["fit"].all if t.land and lands[t.land].independent
        ]
        tested = {word for t in parts["test"].all for word in t.words}
        mine = [t for t in parts["fit"].all if not t.land and not t.words & tested]
        things = {t.name: Thing(t.name, t.sort, t.fine[0]) for t in mine}
        for name, kind in _vocabulary():
            if fold(name) not in tested and kind in KINDS:
                things.setdefault(name, Thing(name, *KINDS[kind]))
        self.things = sorted(things.values())
        self.sorts = stock("things")["sorts"]
        chance.shuffle(self.things)
        chance.shuffle(self.lands)
        self._by: dict[str, list[Thing]] = defaultdict(list)
        self._words = _wordings()

    def draw(self, chance: random.Random, held: bool = False) -> Row:
        """One row, of things and wordings held back or of the others."""
        what = chance.choices(
            ("kind", "choice", "class", "land", "yes", "name", "leave"), (22, 16, 14, 14, 10, 9, 15)
        )[0]
        if what == "land":
            return self._land(chance, held)
        thing = self._thing(chance, held, what)
        told = self._word("identity", chance, False)
        return Row(told, thing.name, *self._ask(what, thing, chance, held))

    def _ask(self, what: str, thing: Thing, chance: random.Random, held: bool) -> tuple[str, str]:
        if what == "name":
            return self._word("identity", chance, held), thing.name
        if what == "leave":
            return self._word("leave", chance, held), ""
        kind = self.sorts[thing.sort][0]
        if what == "choice":
            return self._choice(kind, chance, held), kind
        if what == "class" and thing.fine in CLASSES:
            return self._word(f"class {thing.sort}", chance, held), CLASSES[thing.fine][0]
        if what == "yes":
            fits = [(i, t, f) for i, (t, f) in YES.items() if {thing.sort, thing.fine} & {*t, *f}]
            if fits:
                intent, true, _ = chance.choice(fits)
                answer = "yes" if {thing.sort, thing.fine} & {*true} else "no"
                return self._word(intent, chance, held), answer
        return self._word("kind", chance, held), kind

    def _choice(self, kind: str, chance: random.Random, held: bool) -> str:
        """A choice of a few kinds, the right one mostly among them."""
        kinds = [names[0] for names in self.sorts.values() if names[0] != kind]
        listed = chance.sample(kinds, chance.randint(2, 5)) + [kind] * (chance.random() < 0.75)
        return a_choice(listed, chance.choice(_part(kind_questions()["choices"], held)), chance)

    def _land(self, chance: random.Random, held: bool) -> Row:
        name, land = chance.choice(_part(self.lands, held))
        fact = chance.choice([fact for fact in FACTS if getattr(land, fact)])
        told = self._word("flag", chance, False)
        return Row(told, name, self._word(fact, chance, held), getattr(land, fact)[0])

    def _thing(self, chance: random.Random, held: bool, what: str) -> Thing:
        """A thing; sorts come up alike, whatever the vocabulary has most of."""
        if not self._by:
            for number, thing in enumerate(self.things):
                self._by["held" if number % 10 == 0 else thing.sort].append(thing)
                if number % 10 and thing.fine in CLASSES:
                    self._by[f"class {thing.fine}"].append(thing)
        if held:
            return chance.choice(self._by["held"])
        keys = [k for k in self._by if k != "held" and k.startswith("class ") == (what == "class")]
        # half by sort, half as they come
        if chance.random() < 0.5:
            return chance.choice(self._by[chance.choice(keys)])
        return chance.choice([t for k in keys for t in self._by[k]])

    def _word(self, group: str, chance: random.Random, held: bool) -> str:
        return chance.choice(_part(self._words[group], held))


def _part(items: Sequence, held: bool) -> list:
    """Every sixth for judging, the others for learning."""
    return [one for number, one in enumerate(items) if (number % 6 == 0) == held] or list(items)


def _wordings() -> dict[str, list[str]]:
    """Wordings by what they ask for, none of them one of the test split's."""
    words, others = defaultdict(list), stock("others")
    tested = set()
    for name in ("kind", *FACTS):
        words[name] += half(others[name], "fit")
        tested |= {plain(q) for q in half(others[name], "test")}
    for sort, questions in others["class"].items():
        words[f"class {sort}"] += half(questions, "fit")
        tested |= {plain(q) for q in half(questions, "test")}
    words["kind"] += kind_questions()["kind"]
    for sort, questions in kind_questions()["class"].items():
        words[f"class {sort}"] += questions
    for name in ("picture", "aspect", "identity"):
        for group in yaml.safe_load(
            (HERE.parent / f"scope/texts/{name}_questions.yaml").read_text(encoding="utf-8")
        )["groups"]:
            intent = group["intent"]
            said = [w for w in group["wordings"] if "{" not in w]
            if intent in YES:
                words[intent] += [w for w in said if w.lower().startswith(ASKS_YES) and " or " not in w]
            elif intent in FACTS:
                words[intent] += said
            elif intent == "kind" and group["about"] == "any":
                words["kind"] += [w for w in said if " or " not in w]
            elif intent == "identity" and group["about"] == "flag":
                words["flag"] += said
            elif intent == "identity" and group["about"] == "any":
                words["identity"] += said
            elif intent in FOLLOWS and intent not in DEPENDS:
                words["leave"] += said
    for question, topic, group in free_questions():
        if topic == 0 and group.endswith("flag_country"):
            words["flag"].append(question)
        if topic == 1 and not group.endswith("category_superordinate"):
            words["leave"].append(question)
    return {
        group: [w for w in dict.fromkeys(said) if plain(w) not in tested] for group, said in words.items()
    }


def _vocabulary() -> list[tuple[str, str]]:
    """(name, kind) of the things that ImageNet has, as the model's vocabulary calls them."""
    file = HERE.parents[1] / "okedit_cli/models/mini/vocabulary.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    return [
        (found["names"][name], found["kinds"][kind])
        for name, kind in zip(found["imagenet_names"], found["imagenet_kinds"], strict=True)
    ]
