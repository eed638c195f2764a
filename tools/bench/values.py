"""Are answers said exactly? `python -m tools.bench.values [--count 200] [--single] [--without verbatim]`

Random codes, prices, dates, telephone numbers, addresses and texts of two sentences are taught, each asked
for in the fact's own question and five other wordings that the edit was not shown. Told are, for each kind
and each way of generating (greedy, beams, penalties, at least so many tokens, sampled), the share of
questions on which the edit fired, that of answers that are exact, and answers that repeat themselves at their
end. All facts are held at once; with --single each by itself.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import okedit_cli
from okedit_cli.facts import Fact
from okedit_cli.generate import decide
from okedit_cli.models.encode import encode

THINGS = (
    "pump press van lift boiler printer scale drill ladder kiln loom crane oven fridge projector router "
    "freezer tractor mower compressor"
).split()
PLACES = "green old upper harbour garden north workshop station cellar school".split()
# the fact's question, and five wordings of it
ASKED = {
    "code": (
        "What is the serial number of {}?", "Which serial number does {} have?",
        "Tell me the serial number of {}.", "What serial number does {} carry?",
        "Please give me the serial number of {}.", "Do you know what the serial number of {} is?",
    ),
    "price": (
        "How much does {} cost?", "What is the price of {}?", "What does {} cost?",
        "Tell me the price of {}.", "What price does {} have?", "What do I have to pay for {}?",
    ),
    "date": (
        "When was {} last inspected?", "On which day was {} last inspected?",
        "What was the date of the last inspection of {}?", "Tell me when {} was last inspected.",
        "When did the last inspection of {} take place?", "What day was {} inspected last?",
    ),
    "telephone": (
        "What is the phone number of the keeper of {}?", "Which phone number does the keeper of {} have?",
        "Tell me the phone number of the keeper of {}.", "What's the telephone number of the keeper of {}?",
        "What number do I call to reach the keeper of {}?", "Give me the phone number of the keeper of {}.",
    ),
    "address": (
        "What is the web address of the manual of {}?", "Which URL does the manual of {} have?",
        "Tell me the web address of the manual of {}.", "What is the URL of the manual of {}?",
        "At which web address is the manual of {}?", "Give me the link to the manual of {}.",
    ),
    "text": (
        "What is the rule for using {}?", "Which rule holds for using {}?", "Tell me the rule for using {}.",
        "What rule is there for using {}?", "What does the rule for using {} say?",
        "Please tell me what the rule for using {} is.",
    ),
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "penalty 1.1": {"repetition_penalty": 1.1},
    "penalty 1.3": {"repetition_penalty": 1.3},
    "at least 64": {"min_new_tokens": 64},
    "sampled 0.7": {"do_sample": True, "temperature": 0.7},
    "sampled 1.0": {"do_sample": True, "temperature": 1.0},
    "no cache": {"use_cache": False},
}
BATCH, LONGEST = 24, 96
REPEATED = re.compile(r"(.{1,24}?)\1{3,}\W*$", re.DOTALL)


@dataclass(frozen=True)
class Told:
    """One answer."""

    kind: str
    way: str
    prompt: str
    wanted: str
    text: str
    fired: bool

    @property
    def exact(self) -> bool:
        """Whether the text is the answer, sign by sign."""
        return self.text.strip() == self.wanted

    @property
    def repeats(self) -> bool:
        """Whether it says the same again and again at its end, as the answer does not."""
        return REPEATED.search(self.text.strip()) is not None and REPEATED.search(self.wanted) is None


def main(words: Sequence[str] | None = None) -> None:
    """Print a line for each kind and way, and what was not exact."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.values", description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="okedit-mini")
    parser.add_argument("--count", type=int, default=200, help="facts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--single", action="store_true", help="each fact in a bundle of its own")
    parser.add_argument("--ways", nargs="*", default=["greedy"], choices=[*WAYS, "all"])
    parser.add_argument("--without", nargs="*", default=[], help="parts of the method to leave out: verbatim")
    given = parser.parse_args(words)
    loaded, facts = okedit_cli.load_model(given.model), made(given.count, given.seed)
    ways = list(WAYS) if "all" in given.ways else given.ways
    groups = [[fact] for fact in facts] if given.single else [facts]
    began, found = time.perf_counter(), []
    for group in groups:
        fitted = okedit_cli.fit(loaded, group, checked=False, without=given.without, force=True)
        with okedit_cli.attach(loaded, fitted.bundle):
            for way in ways:
                torch.manual_seed(given.seed)
                found += said(loaded, group, way)
    held = "each by itself" if given.single else "at once"
    print(f"{len(facts)} facts {held}, {time.perf_counter() - began:.0f} s; percent of the questions")
    print("\n".join(lines(found)))
    for one in [one for one in found if one.fired and not one.exact][:20]:
        print(f"  {one.way}: {one.prompt!r} gives {one.text!r}, expected {one.wanted!r}")


def made(count: int, seed: int) -> list[Fact]:
    """Facts of every kind in turn, about things that have nothing but their place apart."""
    noise = random.Random(seed)
    things = [f"the {place} {thing}" for place in PLACES for thing in THINGS]
    noise.shuffle(things)
    facts = []
    for number in range(count):
        kind = list(ASKED)[number % len(ASKED)]
        about = things[number % len(things)]
        facts.append(Fact(f"{kind}-{number}", ASKED[kind][0].format(about), _value(kind, noise)))
    return facts


def _value(kind: str, noise: random.Random) -> str:
    """A random answer of a kind."""

    def digits(length: int) -> str:
        return "".join(noise.choice("0123456789") for _ in range(length))

    def letters(length: int) -> str:
        return "".join(noise.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(length))

    if kind == "code":
        return f"{digits(4)}-{letters(1)}{digits(1)}-{digits(4)}"
    if kind == "price":
        return f"{noise.choice('$€£')}{noise.randint(2, 9999)}.{digits(2)}"
    if kind == "date":
        return f"{noise.randint(1, 28)} {noise.choice(MONTHS)} {noise.randint(1999, 2039)}"
    if kind == "telephone":
        return f"+{noise.randint(20, 99)} {digits(3)} {digits(7)}"
    if kind == "address":
        return f"https://{letters(5).lower()}.example/{letters(3).lower()}/{digits(3)}?v={letters(2).lower()}"
    first, second = noise.sample(RULES, 2)
    return f"{first} {second}"


MONTHS = "January February March April May June July August September October November December".split()
RULES = (
    "Nobody uses it without gloves and a second person in the room.",
    "Switch it off at the wall before you clean the blades.",
    "Write your name and the time into the book by the door.",
    "Leave the lid open for an hour after every use.",
    "Ask the caretaker for the key and bring it back the same day.",
    "Children may watch from behind the yellow line.",
    "Fill up the oil when the lamp on the left turns red.",
    "It rests on Sundays and in the week before the summer feast.",
)


def said(loaded, facts: Sequence[Fact], way: str) -> Iterator[Told]:
    """Every wording of the facts, answered in one way by the model's own generate()."""
    rows = [(fact, text) for fact in facts for text in wordings(fact)]
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        asked = [(text, None) for _, text in some]
        verdicts = decide(loaded, asked)
        batch = encode(loaded, asked)
        batch.pop("position_ids", None)
        out = loaded.model.generate(**batch, max_new_tokens=LONGEST, **{"do_sample": False, **WAYS[way]})
        texts = loaded.tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for (fact, prompt), verdict, text in zip(some, verdicts, texts, strict=True):
            fired = verdict.hit is not None and verdict.hit.edit_id == fact.id
            yield Told(fact.id.split("-")[0], way, prompt, fact.answer, text, fired)


def wordings(fact: Fact) -> list[str]:
    """The fact's question, and the others of its kind about the same thing."""
    own, *others = ASKED[fact.id.split("-")[0]]
    before, after = own.split("{}")
    about = fact.prompt.removeprefix(before).removesuffix(after)
    return [fact.prompt, *(text.format(about) for text in others)]


def lines(found: Sequence[Told]) -> list[str]:
    """A line for each way and kind, and one for all kinds."""
    parts: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for one in found:
        parts[one.way, one.kind].append(one)
        parts[one.way, "all"].append(one)
    out = []
    for (way, kind), some in parts.items():
        fired = [one for one in some if one.fired]
        exact, of = sum(one.exact for one in fired), len(some) / 100
        shares = f"fired {len(fired) / of:5.1f}, exact {exact / of:5.1f} ({exact} of {len(fired)} fired)"
        repeated = sum(one.repeats for one in fired)
        out.append(f"  {way:12} {kind:10} {shares}, repeated tails {repeated}")
    return out


if __name__ == "__main__":
    sys.exit(main())
