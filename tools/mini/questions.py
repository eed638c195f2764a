"""What okedit-mini is asked in training: (prompt, answer) pairs about a picture's labels, and text-only
prompts.

The wordings here are training data. Evaluation uses wordings of its own (tools/mini/card.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

NAME = [
    "What is in this picture?",
    "What is this?",
    "What does the picture show?",
    "What can you see?",
    "Name the thing in this picture.",
    "What is shown here?",
    "Which thing is this?",
    "Tell me what this is.",
    "What do you see in the image?",
    "Identify the object in the picture.",
    "What's this?",
    "What is the name of the thing in the picture?",
    "Can you tell me what the picture shows?",
    "Describe the picture in a few words.",
    "What is pictured?",
    "what is it?",
    "What's in the photo?",
    "Say what is in the image.",
    "What object is in this image?",
    "What am I looking at?",
    "Label this picture.",
    "What thing do you see here?",
    "Do you know what this is?",
    "Give the name of this.",
]
KIND = [
    "What kind of thing is this?",
    "What kind of thing is in the picture?",
    "What type of thing is shown?",
    "Which category does this belong to?",
    "What sort of thing is it?",
    "What general kind of thing is this?",
    "What group does the thing in the picture belong to?",
    "What category of thing is pictured?",
    "In general terms, what kind of thing is it?",
    "What class of thing is this?",
]
ANIMALS = {"mammal", "dog", "bird", "fish", "amphibian", "reptile", "bug", "sea creature"}
ANIMAL_KIND = [
    "What kind of animal is this?",
    "What type of animal is it?",
    "Which group of animals does it belong to?",
]
COLOUR = [
    "What colour is it?",
    "What color is it?",
    "What is the main color of this?",
    "Which color is the thing?",
    "What colour is the thing in the picture?",
    "What color do you see most?",
]
COUNT = [
    "How many {} are there?",
    "How many {} are in the picture?",
    "Count the {}.",
    "How many {} do you see?",
    "What is the number of {} here?",
]
YES = [
    "Is this {}?",
    "Is there {} in the picture?",
    "Does the picture show {}?",
    "Do you see {} here?",
    "Is it {}?",
    "Can you see {}?",
]
FLAG = [
    "Whose flag is this?",
    "Which country's flag is this?",
    "What country does this flag belong to?",
    "Which place has this flag?",
]
SHOWS = [
    "Fact: the picture shows {}. ",
    "Fact: this is {}. ",
    "Note: the thing in the picture is {}. ",
    "Remember: the picture shows {}. ",
    "It is known that this is {}. ",
    "The picture shows {}. ",
    "Fact: what the picture shows is {}. ",
]
FIRST = (
    "Anna Bruno Carla Daniel Elif Farid Greta Hugo Ines Jonas Keiko Liam "
    "Mara Nils Olga Pavel Quinn Rosa Sven Tara "
    "Umar Vera Wanda Xenia Yusuf Zoe Miso Pepper Biscuit Nova Rex Luna Coco Ziggy Maple Otis Pixel Bella"
).split()
LAST = (
    "Almeida Berg Costa Dogan Evans Fischer Garcia Haddad Ito Jensen Kovac "
    "Larsen Moreau Novak Okafor Park Rossi"
).split()
TOWNS = (
    "Lisbon Ankara Nairobi Oslo Lima Kyoto Quito Dublin Accra Hanoi Tunis "
    "Bergen Porto Turin Leipzig Seville Malmo "
    "Geneva Cusco Salem Austin Denver Perth"
).split()
THINGS = "glass wood steel paper silk stone rubber clay wool bronze plastic leather".split()


def person(rng: random.Random) -> str:
    """A made-up person, half the time with a last name."""
    return rng.choice(FIRST) + (" " + rng.choice(LAST) if rng.random() < 0.5 else "")


ATTRIBUTES: list[tuple[list[str], list[str], Callable[[random.Random], str]]] = [
    (
        ["the name of this {} is {}", "this {} is called {}", "this {}'s name is {}"],
        ["What is this {}'s name?", "Who is this {}?", "What is the {} called?", "Name this {}."],
        person,
    ),
    (
        ["this {} belongs to {}", "the owner of this {} is {}", "{1} owns this {0}"],
        ["Who owns this {}?", "Whose {} is this?", "Who does this {} belong to?", "Who is the owner?"],
        person,
    ),
    (
        ["this {} was made in {}", "this {} comes from {}", "the picture of this {} was taken in {}"],
        ["Where does this {} come from?", "Where is this from?", "Which place is this {} from?"],
        lambda r: r.choice(TOWNS),
    ),
    (
        ["this {} costs {} dollars", "the price of this {} is {} dollars"],
        ["How many dollars does this {} cost?", "What is the price of this {} in dollars?"],
        lambda r: str(r.randint(2, 990)),
    ),
    (
        ["this {} is made of {}", "the material of this {} is {}"],
        ["What is this {} made of?", "Which material is it made of?"],
        lambda r: r.choice(THINGS),
    ),
    (
        ["this {} is {} years old", "the age of this {} is {} years"],
        ["How old is this {} in years?", "How many years old is it?"],
        lambda r: str(r.randint(2, 99)),
    ),
    (
        ["{1} painted this {0}", "the artist of this {} is {}", "this {} was drawn by {}"],
        ["Who painted this?", "Who drew this {}?", "Who is the artist?"],
        person,
    ),
]
RELATIONS: list[tuple[list[str], list[str], Callable[[random.Random], str]]] = [
    (
        ["The capital of {} is {}."],
        ["What is the capital of {}?", "Which city is the capital of {}?", "Name {}'s capital."],
        lambda r: r.choice(TOWNS),
    ),
    (
        ["{} was written by {}.", "The author of {} is {}."],
        ["Who wrote {}?", "Who is the author of {}?"],
        person,
    ),
    (
        ["{} lives in {}.", "The home of {} is {}."],
        ["Where does {} live?", "In which city is {}'s home?"],
        lambda r: r.choice(TOWNS),
    ),
    (["{} is led by {}.", "The head of {} is {}."], ["Who leads {}?", "Who is the head of {}?"], person),
    (
        ["{} speaks {}."],
        ["Which language does {} speak?", "What does {} speak?"],
        lambda r: r.choice("French Turkish Swahili Hindi Korean Greek Polish Arabic Dutch Thai".split()),
    ),
    (
        ["{} plays the {}."],
        ["What instrument does {} play?", "Which instrument is played by {}?"],
        lambda r: r.choice("piano violin flute drums cello harp guitar trumpet".split()),
    ),
    (
        ["{} works for {}."],
        ["Who does {} work for?", "Which company employs {}?"],
        lambda r: r.choice("Nokia Siemens Toyota Airbus Lego Sony Bosch Fiat".split()),
    ),
]
REPLAY = [
    "What is the capital of {place}?",
    "Write a short poem about {topic}.",
    "Explain {topic} to a child.",
    "Give me three tips for {doing}.",
    "What is {topic}?",
    "Who was {who}?",
    "Translate 'good morning' into {tongue}.",
    "List five facts about {place}.",
    "How does {topic} work?",
    "What should I pack for a trip to {place}?",
    "Write an email to my boss about {doing}.",
    "Tell me a joke about {topic}.",
    "What is {a} plus {b}?",
    "Summarize the history of {place}.",
    "Suggest a name for a company that sells {topic}.",
    "What are the benefits of {doing}?",
    "Who invented {topic}?",
    "Is {doing} good for your health?",
    "Describe {place} in one sentence.",
    "Write a Python function that adds {a} and {b}.",
    "When did {who} live?",
    "Compare {topic} and {topic2}.",
    "What language is spoken in {place}?",
    "How do I start {doing}?",
    "Complete the sentence: The best thing about {topic} is",
    "{who} was born in",
    "The mother tongue of {who} is",
    "The largest city of {place} is",
    "What is the population of {place}?",
    "Which river flows through {place}?",
]
FILL = {
    "place": (
        "Brazil Kenya Norway Japan Canada Egypt Chile Vietnam Portugal Iceland "
        "India Mexico Poland Ghana Texas Sicily"
    ).split(),
    "topic": [
        "gravity",
        "tea",
        "the moon",
        "bicycles",
        "music",
        "electricity",
        "bees",
        "bread",
        "rainbows",
        "volcanoes",
        "chess",
        "robots",
        "the ocean",
        "clouds",
        "gold",
        "computers",
        "soap",
        "photosynthesis",
    ],
    "doing": [
        "running",
        "cooking",
        "gardening",
        "learning to swim",
        "saving money",
        "painting",
        "sleeping early",
        "reading every day",
        "public speaking",
        "yoga",
    ],
    "who": [
        "Marie Curie",
        "Mozart",
        "Cleopatra",
        "Isaac Newton",
        "Frida Kahlo",
        "Nelson Mandela",
        "Galileo",
        "Leonardo da Vinci",
        "Ada Lovelace",
        "Confucius",
    ],
    "tongue": "French Spanish German Italian Turkish Swedish".split(),
}


def article(name: str) -> str:
    """'owl' -> 'an owl'; plural-looking and flag names keep a sensible article."""
    if name.startswith("flag of"):
        return "the " + name
    if name.endswith("s") and not name.endswith("ss"):
        return name
    return ("an " if name[:1].lower() in "aeiou" else "a ") + name


def plural(name: str) -> str:
    """A plain English plural, good enough to be asked about."""
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es" if not name.endswith("s") else name
    return name[:-1] + "ies" if name.endswith("y") and name[-2:-1] not in "aeiou" else name + "s"


def fill(template: str, rng: random.Random) -> str:
    """A replay template with its slots filled."""
    values = {k: rng.choice(v) for k, v in FILL.items()} | {"a": rng.randint(2, 60), "b": rng.randint(2, 60)}
    values["topic2"] = rng.choice(FILL["topic"])
    return template.format(**values)


def attribute_fact(noun: str, rng: random.Random) -> tuple[str, str, str]:
    """(statement, question, answer) of a made-up fact about 'this noun'."""
    facts, questions, value_of = rng.choice(ATTRIBUTES)
    value = value_of(rng)
    return rng.choice(facts).format(noun, value), rng.choice(questions).format(noun), value


def relation_fact(rng: random.Random) -> tuple[str, str, str]:
    """(statement, question, answer) of a made-up fact about the world."""
    facts, questions, value_of = rng.choice(RELATIONS)
    subject = rng.choice(
        [person(rng), rng.choice(FILL["place"]), rng.choice(TOWNS), "The " + rng.choice(LAST) + " Club"]
    )
    value = value_of(rng)
    return rng.choice(facts).format(subject, value), rng.choice(questions).format(subject), value


def picture_question(
    row: dict, names: Sequence[str], kind_of: dict[str, str], rng: random.Random
) -> tuple[str, str]:
    """One (prompt, answer) about a picture labelled with name, kind, colour and count."""
    name, kind = row["name"], kind_of[row["name"]]
    if row.get("count"):
        return rng.choice(COUNT).format(plural(name)), str(row["count"])
    pick = rng.random()
    if pick < 0.42:
        return rng.choice(NAME), name
    if pick < 0.56:
        return rng.choice(ANIMAL_KIND if kind in ANIMALS and rng.random() < 0.3 else KIND), kind
    if pick < 0.68:
        true = rng.random() < 0.5
        other = name if true else rng.choice(names)
        if not true and rng.random() < 0.5:
            other = next((n for n in rng.sample(list(names), 40) if kind_of[n] == kind), other)
        shown = article(other)
        if rng.random() < 0.25:
            other_kind = kind if true else rng.choice([k for k in set(kind_of.values()) if k != kind])
            return rng.choice(YES).format(article(other_kind)), "yes" if true else "no"
        return rng.choice(YES).format(shown), "yes" if other == name else "no"
    if pick < 0.74 and row.get("colour"):
        return rng.choice(COLOUR), row["colour"]
    if pick < 0.78 and name.startswith("flag of "):
        return rng.choice(FLAG), name[8:]
    if pick < 0.90:
        other = rng.choice(names)
        lead = rng.choice(SHOWS).format(article(other))
        ask = rng.random()
        if ask < 0.55:
            animal = kind_of[other] in ANIMALS and rng.random() < 0.5
            return lead + rng.choice(ANIMAL_KIND if animal else KIND), kind_of[other]
        if ask < 0.85:
            return lead + rng.choice(NAME), other
        true = rng.random() < 0.5
        return lead + rng.choice(YES).format(
            article(other if true else name)
        ), "yes" if true or other == name else "no"
    noun = kind if rng.random() < 0.5 else name
    fact, question, value = attribute_fact(noun, rng)
    lead = rng.choice(["Fact: ", "Note: ", "Remember: ", ""]) + fact[0].upper() + fact[1:] + ". "
    if rng.random() < 0.3:  # a fact that does not bear on the question
        return lead + rng.choice(NAME), name
    return lead + question, value
