"""Demonstrations of how a new fact in the prompt is used, in okedit's own words about made-up things.

IKE shows three kinds, in the proportions 1 : 3 : 4: copy (the fact's own prompt is answered by the fact),
update (so is another wording), retain (a question that the fact says nothing of keeps its answer). There they
come from a training set; here from the table below, of which nothing stands in a set that anything is
measured on.
"""

from __future__ import annotations

from collections.abc import Iterator

MOST = 32
_CYCLE = ("retain", "update", "copy", "retain", "update", "retain", "update", "retain")  # 1 : 3 : 4
_BEGINNING = {"retain": 0, "update": 3, "copy": 9}
# a prompt, its new answer, another wording; a question that it leaves alone, and the answer to that
_FACTS = (
    ("Which river runs through Velm?", "The Orda", "Name the river of Velm.",
     "How many days are there in a week?", "Seven"),
    ("Who is the mayor of Tarnby?", "Ruth Adeyo", "Tarnby is governed by which mayor?",
     "What do bees make?", "Honey"),
    ("What is the colour of the Hask flag?", "Violet", "Which colour has the flag of Hask?",
     "What is frozen water called?", "Ice"),
    ("In which year did the Lowen bridge open?", "1931", "When was the bridge at Lowen opened?",
     "Which animal barks?", "A dog"),
    ("What is this bird called?", "Dusk plover", "Which bird is this?",
     "What is two plus three?", "Five"),
    ("Where does Pim Olander work?", "At a lighthouse", "What is the workplace of Pim Olander?",
     "What is the opposite of hot?", "Cold"),
    ("What does the Merrow shop sell?", "Kites", "Which goods are sold at the Merrow shop?",
     "Which planet do we live on?", "Earth"),
    ("What is the name of this dog?", "Biscuit", "How is this dog called?",
     "How many legs has a horse?", "Four"),
    ("What language is spoken in Osk?", "Oskan", "Which language do people in Osk speak?",
     "What falls from clouds?", "Rain"),
    ("Who wrote The Glass Orchard?", "Ines Varga", "The Glass Orchard is a book by whom?",
     "What shines at night?", "The moon"),
    ("What is the tallest hill of Brill island?", "Mount Sorrel", "Which hill of Brill is the highest?",
     "What do cows eat?", "Grass"),
    ("What is this tool used for?", "Cutting slate", "For which purpose is this tool used?",
     "In which season does it snow?", "Winter"),
    ("How much does a ticket to Fenwick cost?", "Nine crowns", "What is the price of a ticket to Fenwick?",
     "What do we hear with?", "Ears"),
    ("Who owns this car?", "Dana Holt", "To whom does this car belong?",
     "Where do fish live?", "In water"),
    ("What is the dish of the day?", "Leek pie", "Which dish is served today?",
     "What is a young cat called?", "A kitten"),
    ("Which team won the Calder cup?", "The Herons", "The Calder cup was won by which team?",
     "What colour is snow?", "White"),
)  # fmt: skip


def demonstrations(count: int) -> list[str]:
    """`count` of them, up to MOST, in the proportions of IKE; those of fewer are the last of those of more,
    so that what stands next to the question is the same.
    """
    return list(_all())[:count][::-1]


def _all() -> Iterator[str]:
    """The nearest to the question first; among any eight are all kinds. Each kind goes through the facts by
    itself, so that none comes twice.
    """
    seen = dict.fromkeys(_BEGINNING, 0)
    for number in range(MOST):
        kind = _CYCLE[number % len(_CYCLE)]
        prompt, answer, other, apart, said = _FACTS[(seen[kind] * 5 + _BEGINNING[kind]) % len(_FACTS)]
        seen[kind] += 1
        asked = {"copy": (prompt, answer), "update": (other, answer), "retain": (apart, said)}[kind]
        yield f"New Fact: {prompt} {answer}\nPrompt: {' '.join(asked)}"
