"""Questions as clauses: "Where is this cat going?" -> "where this cat is going"."""

from __future__ import annotations

import re

from okedit_cli.samples.wording import bare, noun_phrase, small

_BE = ("is", "are", "was", "were")
_ASKED = (
    r"(?:what|which|who|whom|whose|where|when|why|how)\b"
    r"(?: (?!(?:is|are|was|were|do|does|did|has|have|had)\b)[\w'-]+)*?"
)
_THIRD = {"have": "has", "do": "does", "go": "goes"}
_PAST = dict(
    pair.split(":")
    for pair in (
        "eat:ate go:went come:came write:wrote make:made get:got take:took find:found win:won buy:bought "
        "sell:sold sing:sang teach:taught leave:left see:saw keep:kept become:became wear:wore run:ran "
        "fly:flew sleep:slept stand:stood hold:held grow:grew build:built draw:drew give:gave say:said "
        "do:did cost:cost speak:spoke mean:meant begin:began feel:felt"
    ).split()
)


def predicate_of(text: str) -> tuple[str, str] | None:
    """A question -> (what is asked for, what is said of it): ("which country", "this flag belongs to").

    The second is empty where the question word is the subject ("who wrote ..."): the first is then the whole.
    None when the parts cannot be told.
    """
    plain = small(re.sub(r"^(\w+)'s ", r"\1 is ", bare(text)))
    order = re.fullmatch(r"(?:tell|give) me (.+)|name (the .+ of .+)", plain, re.IGNORECASE)
    if order:
        return (order[1] or order[2], "")
    match = re.fullmatch(rf"({_ASKED}) (is|are|was|were|do|does|did) (.+)", plain, re.IGNORECASE)
    if match is None:
        return (plain, "") if re.match(r"(?:who|which|what|how many) \w+", plain) else None
    asked, helper, rest = match.groups()
    if helper in _BE:
        return _with_be(asked, helper, rest)
    thing, said = noun_phrase(rest)
    verb, _, after = said.partition(" ")
    if not verb:
        return None
    return asked, " ".join(filter(None, (thing, inflect(verb, helper), after)))


def whether_of(text: str) -> str | None:
    """A question for yes or no -> its statement ("this cat is friendly"), or None."""
    plain = small(bare(text))
    match = re.fullmatch(r"(is|are|was|were|does|do|did) ((?:this|that|these|those|the|it)\b.*)", plain)
    if match is None:
        return None
    helper, rest = match.groups()
    alone = re.fullmatch(r"(this|that|it) ((?:an?|the|in|on|for|from)\b.*)", rest)
    pair = re.fullmatch(r"((?:this|that|the) \w+) (\w+|(?:an?|the|in|on|at|from|for|used|made)\b.*)", rest)
    if helper in _BE:
        found = alone or pair
        return f"{found[1]} {helper} {found[2]}" if found else None
    thing, said = noun_phrase(rest)
    verb, _, after = said.partition(" ")
    return " ".join(filter(None, (thing, inflect(verb, helper), after))) if verb else None


def inflect(verb: str, helper: str) -> str:
    """The verb as it stands once its helper is gone: "does belong" -> "belongs", "did study" -> "studied"."""
    if helper == "does":
        sibilant = re.search(r"(?:s|x|ch|sh)$", verb)
        return _THIRD.get(verb) or (verb + "es" if sibilant else _y(verb, "ies", "s"))
    if helper == "did":
        return _PAST.get(verb) or (verb + "d" if verb.endswith("e") else _y(verb, "ied", "ed"))
    return verb


def _y(verb: str, changed: str, plain: str) -> str:
    return verb[:-1] + changed if re.search(r"[^aeiou]y$", verb) else verb + plain


def _with_be(asked: str, helper: str, rest: str) -> tuple[str, str] | None:
    if re.match(r"there\b", rest):
        return f"{asked} there {helper} {rest[5:].strip()}".strip(), ""
    if re.match(r"(?:in|on|at|shown|seen|wrong|here|part)\b", rest):
        return f"{asked} {helper} {rest}", ""  # "what is in this picture"
    if "," in rest or asked == "why":  # "the sky" and "blue" cannot be told apart
        return None
    thing, said = noun_phrase(rest)
    # after "the X of Y", what opens with a preposition still belongs to Y: "the country with this flag"
    while " of " in f" {thing} " and re.match(r"(?:with|in|on|from|at)\b", said):
        word, _, said = said.partition(" ")
        more, said = noun_phrase(said)
        thing = f"{thing} {word} {more}".strip()
    return asked, " ".join(filter(None, (thing, helper, said)))
