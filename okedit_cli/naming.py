"""Whom a text names: in full, by a part of the name, or by what may be another name of the same."""

from __future__ import annotations

import re
import unicodedata

from .wording import entity_spans, mentions

# What says where or of what kind a thing is: "Korea" alone is not South Korea, "Victoria" not Lake Victoria.
_PLACING = (
    "new old north south east west northern southern eastern western central upper lower great lesser little "
    "lake mount mt port fort saint st san santa cape"
).split()
_SMALL_WORDS = "of the de da di del van von der den la le al bin and y & for in".split()
_FORMS = "inc ltd llc plc corp co gmbh ag sa fc cf afc sc jr sr dr mr mrs ms sir".split()  # beside a name
_ENDINGS = "s n an ns ans ian ians ean eans ese ish i is ic".split()  # of who or what is of a country


def gives_name(text: str, name: str) -> bool:
    """Whether a text names somebody: in full, or by the end of the name, standing alone ("Enescu" for George
    Enescu, and not "Ion Enescu"; "Korea" is not South Korea); in words without capitals by the last. What
    goes on ("the Israel Museum" for Israel) is another name.
    """
    return named_as(text, name) is not None


def named_as(text: str, name: str) -> str | None:
    """The stretch of a text that names somebody, as in gives_name(); None where none does."""
    if mentions(text, name):
        full = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
        return None if _goes_on(text, name) else full.group() if full else name
    words, own = plain_words(name), _without_forms(name)
    for span in entity_spans(text):
        given = _without_forms(span)
        if given and (given == own or _is_end(given, words)):
            return span
    last = name.split()[-1]
    if text == text.lower() and mentions(text, last) and _is_end(words[-1:], words):
        return last.casefold()
    return None


def last_words(name: str) -> set[str]:
    """The words one of which every text has, in plain_words(), that names somebody."""
    return {words[-1] for words in (plain_words(name), _without_forms(name)) if words}


def could_mean(text: str, name: str) -> bool:
    """Whether a text may say a name in other words: by its first letters ("UN" for the United Nations, or
    the other way), shortened ("J. Bach", "Johann Bach" for Johann S. Bach), by its beginning, without its
    accents, or by who is of a country ("Peruvians"). Another full name does not.
    """
    own, letters = _without_forms(name), _first_letters(name)
    for span in entity_spans(text):
        given = _without_forms(span)
        if not given:
            continue
        if given == own or _is_end(given, own) or (len(given) > 1 and own[: len(given)] == given):
            return True
        if _is_short(span, letters) or _is_short(name, _first_letters(span)) or _abbreviates(given, own):
            return True
        if len(own) == 1 and any(_of_country(word, own[0]) for word in given):
            return True
    return False


def _goes_on(text: str, name: str) -> bool:
    """Whether a name is only met as the beginning of a longer one, or of another place ("New Mexico")."""
    words = re.findall(r"[\w’'.-]+", text)
    if not any(word[:1].islower() for word in words):
        return False  # all words have capitals, or none: nothing to tell a name by
    for match in re.finditer(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", text.casefold()):
        before = re.search(r"([\w.]+) $", text[: match.start()])
        after = re.match(r" (?:/ )?([A-Z][\w/.-]*|\d[\w.-]*)", text[match.end() :])
        longer = after and after.group(1) != "I" and bool(_without_forms(after.group(1)))
        placed = before and before.group(1)[0].isupper() and before.group(1).casefold() in _PLACING
        if not placed and not longer:
            return False
    return True


def plain_words(name: str) -> list[str]:
    """Its words without case, accents and marks."""
    plain = unicodedata.normalize("NFKD", name.casefold().replace("ı", "i").replace("ł", "l"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['’]s\b", "", plain)
    return re.findall(r"[\w&]+", re.sub(r"(?<=\w)[.'’](?=\w)", "", plain))


def _without_forms(name: str) -> list[str]:
    """Its words but for forms of companies and of address, and "the"."""
    return [word for word in plain_words(name) if word not in _FORMS and word != "the"]


def _is_end(given: list[str], words: list[str]) -> bool:
    """Whether words are the end of a name, and mean it."""
    rest = words[: -len(given)]
    if not rest or words[-len(given) :] != given or given[0].isdigit() and len(given[0]) < 3:
        return False
    return rest[-1] not in _PLACING and rest[-1] != "of"


def _first_letters(name: str) -> str:
    words = [word for word in re.findall(r"\w+", name) if word.casefold() not in _SMALL_WORDS]
    return "".join(word[0] for word in words).casefold() if len(words) > 1 else ""


def _is_short(span: str, letters: str) -> bool:
    """Whether a name is the first letters of another ("USA" says one more)."""
    short = re.sub(r"[.\s]", "", span)
    return len(letters) > 1 and short.isupper() and short.casefold() in (letters, letters + "a")


def _abbreviates(given: list[str], own: list[str]) -> bool:
    """Whether one name is the other with given names shortened or left out; both end the same."""
    few, many = sorted((given, own), key=len)
    if len(few) < 2 or few[-1] != many[-1] or not _alike(few[0], many[0]):
        return False
    inner = iter(many[1:-1])
    kept = all(any(_alike(word, other) for other in inner) for word in few[1:-1])
    return kept and (len(few) == len(many) or all(len(word) == 1 for word in set(many[1:-1]) - set(few)))


def _alike(one: str, other: str) -> bool:
    """Whether two words are the same, or one is short for the other ("J", "St")."""
    short, long = sorted((one, other), key=len)
    ends = len(short) == 2 and short == long[0] + long[-1]
    return one == other or ends or (len(short) == 1 and not short.isdigit() and long.startswith(short))


def _of_country(word: str, country: str) -> bool:
    """ "peruvian" for Peru, "brazilians" for Brazil."""
    stem = country.rstrip("aeiouy") if len(country) > 4 else country
    tail = word.removeprefix(stem)
    return len(stem) > 2 and tail != word and tail.removeprefix("v") in {*_ENDINGS, ""} and word != country
