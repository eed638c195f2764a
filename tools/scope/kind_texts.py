"""Questions about a picture by what their intents ask for, and questions for the kind of a thing.

FOLLOWS: intents whose answers follow from what is shown; DEPENDS: those that depend on the picture as well.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent / "texts"
TOPICS = ("identity", "bearing", "other")
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
        for topic, name in enumerate(TOPICS)
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


def plain(text: str) -> str:
    """Letters and digits alone."""
    return "".join(c for c in text.casefold() if c.isalnum())
