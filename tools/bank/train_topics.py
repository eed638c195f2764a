"""Teach what a question is about: `python tools/bank/train_topics.py OUT.safetensors [--epochs 3]`.

Low-rank changes of all-MiniLM-L6-v2 and a linear layer on it (okedit_cli/models/topics.py), cross-entropy,
on the free questions of topic_questions.yaml and of the two files of MANNERS, those for a kind of
kind_questions.yaml, and the question encoder's wordings, whose intents are sorted here. What depends on the
picture at hand as much as on the kind of thing (its size, its parts) is left out. Every fourth free question
is held back, and printed is how those are told; of the question encoder's wordings those that it holds back
as well (train_asking.py). A wording that okedit-pictures happens to ask with as well is left out, but for
those of its fit split, with --fit.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from train_questions import (
    Encoder,
    Relations,
    categories_of,
    is_held_back,
    knowledge_groups,
    picture_wordings,
)

from okedit_cli.dataset.things import stock
from okedit_cli.models.topics import Topic

HERE = Path(__file__).parent
MANNERS = ("manner_identity", "manner_other")  # more questions by topic, in manners of all sorts
RANK, RATE, BATCH, SHARP, HELD_BACK, MIXES = 8, 1e-3, 32, 8.0, 4, 40
IDENTITY, BEARING, OTHER = range(len(Topic._fields))
FOLLOWS = """
    alcohol anthem animal_home body_part breed building_country buy_where can_fly can_swim capital coast
    continent country_area course cuisine currency danger demonym dialling_code diet driver driving_side
    eaten_with edible endangered fact famous_example female_name first_letter french fruit_or_vegetable
    fuel german government group_name habitat inventor is_alive is_animal is_apple is_bicycle is_bird
    is_boat is_car is_cat is_dog is_fish is_flower is_guitar is_hammer is_insect is_japan is_machine
    is_mammal is_person is_pizza is_reptile is_tool is_toy is_tree is_vehicle italian japanese kind
    language last_letter lays_eggs leader learn_time legs letter_count lifespan male_name model
    music_style name_origin needs_power neighbours nocturnal opposite origin passengers pet petals
    plant_type played_how plural population predators product pronunciation religion rhyme
    scientific_name similar sound spanish speed spelling strings syllables symbol taste timezone use
    user vegetarian vehicle_realm wheels when_used wings winter young_name
""".split()
DEPENDS = """
    action architect architecture beside buttons calories companion doors ears emergency eyes fastening
    flag_creature flag_designer flag_emblem flag_meaning flag_since formal handle horns how_made inside
    is_real leaves location material next opening_hours parts peel pockets raw_or_cooked screen seeds
    shiny sides size skin_cover smell storeys story tail teeth temperature thorns touch transparent
    washing weight windows
""".split()


def free_questions(file: str = "topic_questions") -> list[tuple[str, int, str]]:
    """(question, topic, group) of every line of a file of questions by topic."""
    found = yaml.safe_load((HERE / f"{file}.yaml").read_text(encoding="utf-8"))
    return [
        (line, topic, f"{name}/{group}")
        for topic, name in enumerate(Topic._fields)
        for group, lines in found.get(name, {}).items()
        for line in lines
    ]


@functools.cache
def kind_questions() -> dict[str, Any]:
    """The wordings of kind_questions.yaml, that ask for the kind of a thing: choices, kind, class."""
    return yaml.safe_load((HERE / "kind_questions.yaml").read_text(encoding="utf-8"))


def a_choice(listed: Sequence[str], frame: str, chance: random.Random) -> str:
    """Kinds in any order, put before the one who is asked."""
    listed = chance.sample(list(listed), len(listed))
    if chance.random() < 0.6:
        listed = [f"{'an' if word[0] in 'aeiou' else 'a'} {word}" for word in listed]
    listed += ["something else"] * (chance.random() < 0.4)
    words = ", ".join(listed[:-1]) + chance.choice((" or ", " or ", ", ")) + listed[-1]
    text = frame.format(words)
    return text[0].upper() + text[1:]


def choices(chance: random.Random, count: int = 20) -> list[tuple[str, int, str]]:
    """(question, topic, group) of `count` choices of kinds for each of their wordings, and of the other
    questions for a kind.
    """
    found = kind_questions()
    kinds = [names[0] for names in stock("things")["sorts"].values()]
    asked = [
        (a_choice(chance.sample(kinds, chance.randint(2, 6)), frame, chance), "choices")
        for frame in found["choices"]
        for _ in range(count)
    ]
    asked += [(text, "kind") for text in found["kind"]]
    asked += [(text, f"class {sort}") for sort, texts in found["class"].items() for text in texts]
    return [(text, BEARING, f"bearing/{group}") for text, group in asked]


def parted() -> tuple[list[tuple[str, int, str]], list[tuple[str, int, str]]]:
    """The free questions that are taught, and those that are held back: of every group, whatever the seed."""
    chance = random.Random(0)
    taught, held = [], []
    for free in (free_questions() + choices(chance), *map(free_questions, MANNERS)):
        chance.shuffle(free)
        free.sort(key=lambda row: row[2])
        taught += [row for n, row in enumerate(free) if n % HELD_BACK]
        held += free[::HELD_BACK]
    return taught, held


def sorted_wordings(chance: random.Random) -> list[tuple[str, int]]:
    """The question encoder's wordings with a topic by their intents; questions about persons ask for one."""
    out: list[tuple[str, int]] = []
    nouns, groups = picture_wordings()
    for group in groups:
        intent, person = group["intent"], "person" in str(group["about"])
        if intent in DEPENDS or (person and intent.startswith("identity")):
            continue
        topic = OTHER
        if not person and (intent.startswith("identity") or intent in FOLLOWS):
            topic = BEARING if intent in FOLLOWS else IDENTITY
        kinds = categories_of(group, nouns)
        for wording in group["wordings"]:
            if is_held_back(wording):
                continue
            out.append((wording.replace("{noun}", chance.choice(nouns[chance.choice(kinds)])), topic))
    return out


def general_questions(chance: random.Random) -> list[tuple[str, int]]:
    """Questions about what they name themselves: no picture bears on them."""
    relations = Relations()
    groups = knowledge_groups() + [group for _ in range(MIXES) for group in relations.batch(chance)]
    return [(wording, OTHER) for group in groups for wording in group.wordings]


def of_fit(path: Path) -> list[tuple[str, int]]:
    """The fit split's rephrasings, what it asks beside them, and what follows from its edits."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    found = {text: IDENTITY for row in rows for text in (row["question"], *row["rephrased_questions"])}
    found |= {item["question"]: OTHER for row in rows for item in row["same_image"]}
    found |= {item["question"]: BEARING for row in rows for item in row["portability"]}
    return sorted(found.items())


def plain(text: str) -> str:
    """Letters and digits alone."""
    return "".join(c for c in text.casefold() if c.isalnum())


def evaluated() -> set[str]:
    """The other questions of okedit-pictures, of both splits, plain."""
    words = stock("others")
    found = [row["question"] for name in ("same_image", "beside", "loc") for row in words[name]]
    for name in ("kind", "capital", "continent", "currency", "language"):
        found += words[name]
    found += [question for questions in words["class"].values() for question in questions]
    return {plain(question) for question in found}


class Topics(nn.Module):
    """The encoder and its linear layer: logits [n, 3] of questions."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(RANK)
        self.layer = nn.Linear(384, len(Topic._fields))

    def forward(self, questions: list[str]) -> torch.Tensor:
        """Logits; unit vectors are short for a layer that begins small."""
        return self.layer(self.encoder(questions) * SHARP)

    def save(self, path: Path) -> None:
        """Write the changes, and the layer for unit vectors."""
        layer = {"weight": self.layer.weight.detach() * SHARP, "bias": self.layer.bias.detach()}
        save_file({**self.encoder.changed(), **layer}, path)


@torch.no_grad()
def judge(model: Topics, held: list[tuple[str, int, str]]) -> str:
    """How questions that were held back are told, at some probabilities of bearing."""
    model.eval()
    texts, topics = [row[0] for row in held], torch.tensor([row[1] for row in held])
    found = torch.cat([model(texts[i : i + 64]).softmax(1) for i in range(0, len(texts), 64)])
    model.train()
    bears, should = 1 - found[:, OTHER], topics != OTHER
    parts = [f"topic {float((found.argmax(1) == topics).float().mean()):.1%}"]
    for sure in (0.5, 0.7, 0.8, 0.9):
        yes, no = (float((bears[rows] > sure).float().mean()) for rows in (should, ~should))
        parts.append(f"above {sure}: {yes:.1%} of those that bear, {no:.1%} of others")
    return "; ".join(parts)


def main() -> None:
    """Teach, judge after every epoch, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, help="fit.json of okedit-pictures [default: taught without it]")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    chance = random.Random(chosen.seed)
    taught, held = parted()
    kept = [(text, topic) for text, topic, _ in taught]
    rows = [*kept, *kept, *dict.fromkeys(sorted_wordings(chance) + general_questions(chance))]
    asked = evaluated()
    rows = [(text, topic) for text, topic in rows if plain(text) not in asked]
    rows += 2 * of_fit(chosen.fit) if chosen.fit else []
    steps = chosen.epochs * (len(rows) // BATCH)
    print(f"{len(rows)} questions, {len(held)} held back, {steps} steps", flush=True)
    model = Topics()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: min(1, (n + 1) / 50) * (1 - n / steps))
    for _ in range(chosen.epochs):
        chance.shuffle(rows)
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            part = rows[start : start + BATCH]
            topics = torch.tensor([topic for _, topic in part])
            loss = nn.functional.cross_entropy(
                model([text for text, _ in part]), topics, label_smoothing=0.02
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(judge(model, held), flush=True)
        model.save(chosen.out)


if __name__ == "__main__":
    main()
