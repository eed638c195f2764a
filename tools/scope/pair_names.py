"""Names that nobody bears, made on the fly, so that the pair classifier learns to compare names it never saw.

Of words of real names of the same kind put together anew, and of words made of syllables.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

STARTS = (
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr "
    "qu r s sch sh sk sl sp st t th tr v w y z"
).split()
VOWELS = "a a a e e e i i o o u ae ai au ea ei ia ie oo ou y".split()
ENDS = "b ck d ff k l ll m n nd ng nn nt r rd rs s ss t th x z".split()
SMALL = {"the", "of", "and", "de", "la", "von", "van", "le", "al", "in", "for", "a", "an", "on", "to"}
TITLES = "Dr. Prof. Sir Lady Captain Judge Saint General Lord Count Sister Pastor".split()


def syllables(chance: random.Random) -> str:
    """A word such as Brauntiel."""
    count = chance.choices((1, 2, 3, 4), (2, 5, 3, 1))[0]
    heads = [["", *STARTS], *[STARTS] * (count - 1)]
    parts = [chance.choice(head) + chance.choice(VOWELS) for head in heads]
    word = "".join(parts) + (chance.choice(ENDS) if chance.random() < 0.7 else "")
    return word[:1].upper() + word[1:] if len(word) > 2 else word + "o"


def invented(name: str, others: Sequence[str], chance: random.Random) -> str:
    """A new name of the make of `name`: some of its words are those of others, or of nobody."""
    words = name.split()
    changeable = [at for at, word in enumerate(words) if word.lower() not in SMALL]
    if not changeable:
        return name
    share = chance.choice((0.5, 1.0, 1.0))
    out = list(words)
    for at in changeable:
        if chance.random() > share:
            continue
        if re.fullmatch(r"\d+", words[at]):
            out[at] = str(chance.randrange(1, 10 ** len(words[at])))
        elif words[at][:1].islower() or chance.random() < 0.45:
            donor = [word for word in chance.choice(others).split() if word.lower() not in SMALL]
            out[at] = chance.choice(donor or words)
        else:
            out[at] = syllables(chance)
    return " ".join(out)


def other_names(name: str, kind: str, chance: random.Random) -> list[str]:
    """What somebody with an invented name is also called, for people; nothing is known of other kinds."""
    words = name.split()
    if kind != "person" or len(words) < 2:
        return []
    first, last = words[0], words[-1]
    middle = f"{first} {syllables(chance)[0]}. {last}"
    return [last, f"{first[0]}. {last}", f"{chance.choice(TITLES)} {last}", middle, f"{last}, {first}"]


def altered(name: str, chance: random.Random, others: Sequence[str]) -> str:
    """Another name that is nearly the same: one part of it replaced, or a number changed."""
    numbers = re.findall(r"\d+", name)
    if numbers and chance.random() < 0.8:
        old = chance.choice(numbers)
        new = str(int(old) + chance.choice((-1, 1, 2, 10)))
        return name.replace(old, new, 1)
    parts, donor = name.split(), chance.choice(list(others)).split()
    if len(parts) > 1 and donor:
        at = chance.randrange(len(parts))
        if parts[at][:1].isupper() or chance.random() < 0.5:
            word = syllables(chance) if chance.random() < 0.3 else donor[0] if at == 0 else donor[-1]
            return " ".join([*parts[:at], word, *parts[at + 1 :]])
    return name
