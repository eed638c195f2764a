"""What two questions have in common: their normal form, what they ask for, and their subject."""

from __future__ import annotations

import re
import unicodedata

PICTURE_WORDS = r"(?:picture|image|photo|photograph|drawing|snapshot)"
_QUESTION_WORDS = "what who whom whose which where when why how".split()
_HELPERS = (
    "is are was were am do does did can could will would should has have had may might must isn't aren't"
).split()
_ORDERS = (
    "name tell say describe identify count give list complete finish answer explain write show guess "
    "read translate please find label state mention choose pick spell estimate"
).split()

# What a question asks for, by the words that give it away; the first that matches wins.
_CUES: dict[str, str] = {
    "count": r"\bhow many\b|\bnumber of\b|\bcount\b",
    "price": r"\bcosts?\b|\bprice\b|\bhow much (?:is|are|do|does|would|for)\b|\bpay for\b|\bexpensive\b",
    "age": r"\bhow old\b|\bage\b|\bhow many years\b",
    "birthplace": r"\bborn\b|\bbirthplace\b|\bplace of birth\b",
    "owner": r"\bowns?\b|\bowner\b|\bbelongs?\b|\bwhose\b|\bowned\b",
    "colour": r"\bcolou?rs?\b",
    "material": r"\bmade (?:of|from|out of)\b|\bmaterial\b",
    "food": r"\beats?\b|\bfed\b|\bdiet\b|\bfood\b|\bfeeds?\b",
    "use": r"\bused? for\b|\bpurpose\b|\bused\b|\bdo with\b",
    "capital": r"\bcapital\b",
    "currency": r"\bcurrency\b|\bmoney\b",
    "language": r"\blanguages?\b|\bmother tongue\b|\bspeaks?\b|\bspoken\b",
    "author": r"\bwrote\b|\bwritten\b|\bauthor\b|\bwriter\b",
    "spouse": r"\bmarri\w+\b|\bspouse\b|\bhusband\b|\bwife\b",
    "profession": r"\b(?:job|profession)\b|\bwork(?:s)? as\b|\bfor a living\b",
    "employer": r"\bemploy\w*\b|\bworks? for\b",
    "team": r"\bteam\b|\bclub\b",
    "nationality": r"\bnationality\b|\bcitizen\b|\bpassport\b",
    "university": r"\buniversity\b|\bstud(?:y|ied)\b|\bgraduate\b",
    "founder": r"\bfound(?:ed|er)\b|\bstarted\b",
    "inventor": r"\binvent\w*\b",
    "director": r"\bdirect\w*\b",
    "headquarters": r"\bheadquarters\b|\bhead office\b|\bbased\b",
    "population": r"\bpopulation\b|\binhabitants\b|\bpeople live\b",
    "country": r"\bcountry\b|\bcountries\b|\bnation\b",
    "kind": r"\b(?:kind|type|sort|breed|species|variety) of\b|\bspecies\b|\bbreed\b",
    "name": r"\bnames?\b|\bcalled\b|\bcall\b|^who(?: is|'s) th(?:is|at)\b",
    "when": r"^when\b|\bwhat (?:year|date|time|day)\b|\bwhich (?:year|day)\b",
    "place": r"^where\b|\blocat(?:ed|ion)\b|\bwhich place\b|\bwhat place\b",
    "what": (
        rf"\bwhat(?: is|'s) (?:(?:this|that|it)\W*$|(?:shown|seen|depicted|pictured)\b)|\bwhat can be seen\b"
        rf"|\bwhat (?:is|'s)? ?(?:\w+ )?(?:in|on) (?:this|the) {PICTURE_WORDS}"
        r"|\bwhat do(?:es)? .*\b(?:see|show|depict)|\bwhat can you see"
        r"|\blooking at\b|^(?:describe|identify)\b|\b(?:thing|object)\b"
    ),
}
# Questions that an answer to the one also answers, when both are asked about one picture.
_CLOSE = ({"what", "kind"}, {"what", "name"}, {"country", "place"}, {"age", "when"})


def normal(text: str) -> str:
    """Text without case, punctuation and words of no weight: equal for trivially equal questions."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = re.sub(r"\b(what|who|where|when|how|that|it|here)'s\b", r"\1 is", text)
    text = re.sub(rf"\b{PICTURE_WORDS}\b", "picture", text).replace("color", "colour")
    text = re.sub(r"\b(the|this) picture\b", "picture", text)
    text = re.sub(r"^(please|question|quick question|please answer)\b:?", " ", text.strip())
    return " ".join(re.findall(r"\w+(?:'\w+)?", text))


_SMALL_OPENERS = {
    *_QUESTION_WORDS, *_HELPERS, *_ORDERS, "the", "this", "that", "these", "those", "a", "an", "his", "her",
    "its", "their", "my", "our", "your", "in", "on", "at", "by", "to", "from", "for", "with",
}  # fmt: skip


def bare(text: str) -> str:
    """Without its final mark."""
    return text.replace("’", "'").strip().rstrip("?.! ")


def small(text: str) -> str:
    """With a small first letter, unless the first word may be a name."""
    title = re.match(r"(?:The|A|An) [A-Z]", text)  # The Glass Orchard
    return text[:1].lower() + text[1:] if first_word(text) in _SMALL_OPENERS and not title else text


def large(text: str) -> str:
    return text[:1].upper() + text[1:]


def first_word(text: str) -> str:
    match = re.match(r"[\W_]*([\w']+)", text.casefold().replace("’", "'"))
    return match.group(1).removesuffix("'s") if match else ""


def is_question(text: str) -> bool:
    """A question or an order, unlike a statement that waits for its end ("The mother tongue of X is")."""
    text = text.strip()
    return text.endswith("?") or first_word(text) in {*_QUESTION_WORDS, *_HELPERS, *_ORDERS}


def is_order(text: str) -> bool:
    """ "Name this cat." asks without being a question."""
    return first_word(text) in _ORDERS


def intent_of(text: str) -> str | None:
    """What a question asks for ("name", "price", ...), or None when its words do not tell."""
    plain = text.casefold().replace("’", "'").strip()
    return next((intent for intent, cue in _CUES.items() if re.search(cue, plain)), None)


def close_intents(intent: str | None) -> set[str]:
    """Intents that may mean the same as this one when asked about one picture, such as what and kind."""
    if intent is None:
        return set()
    return {intent}.union(*(group for group in _CLOSE if intent in group))


def mentions(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text as whole words, whatever the case."""
    return re.search(rf"(?<!\w){re.escape(phrase.casefold())}(?!\w)", text.casefold()) is not None


# Words that end a noun phrase: what follows says something about the thing.
_PREPOSITIONS = (
    "in on at for from by to with as about into near under over like than called named known made used"
).split()
_VERBS = (
    "is are was were am be been do does did has have had can could will would should may might must "
    "eat eats drink cost costs mean means live lives play plays need needs weigh weighs say says show shows "
    "belong belongs come comes go goes want wants sell sells make makes use uses speak speaks own owns grow "
    "grows taste tastes smell smells sound sounds look looks stand stands carry carries hunt hunts sleep "
    "sleeps fly flies run runs represent represents protect protects wear wears hold holds open opens close "
    "closes start starts end ends work works study studies happen happens take takes contain contains keep "
    "keeps learn talk get gets see become produce produces think thinks feel feels serve serves cook travel "
    "arrive leave leaves sing sings teach teaches invent write find "
    "born built written painted found located worn sold grown spoken founded invented shown seen given held "
    "kept taken won drawn sung eaten played called led owned bought baked"
).split()
_STOPS = {*_PREPOSITIONS, *_VERBS}


def noun_phrase(text: str) -> tuple[str, str]:
    """ "this red car made of" -> ("this red car", "made of"): what is spoken of, and what is said of it."""
    words = text.split()
    for i, word in enumerate(words):
        bare = word.casefold().strip(",.;:")
        verb = bare in _STOPS or (i > 1 and word.islower() and re.fullmatch(r"\w{2,}(?:ing|ed)", bare))
        if i > 0 and verb:
            return " ".join(words[:i]), " ".join(words[i:])
    return text, ""


def subject_noun(text: str) -> str | None:
    """The thing that a question points at: "cat" in "What is this cat's name?"; None for "this" alone."""
    match = re.search(r"\b(?:this|that|these|those) ([a-z].*)", text.casefold().replace("’", "'"))
    if match is None:
        return None
    said = "this " + re.split(r"(?:'s|(?<=s)')(?!\w)|[^\w\s'-]", match.group(1))[0].strip()
    phrase = noun_phrase(said)[0].split()
    helped = re.search(r"\b(?:do|does|did|can|could|will|would|should) th", text.casefold())
    if helped and len(phrase) > 2 and len(phrase) == len(said.split()):
        phrase.pop()  # a verb that the lists above do not have: "what did this parrot learn"
    noun = phrase[-1]
    return None if noun in {"this", "thing", "it", "a", "an"} or re.fullmatch(PICTURE_WORDS, noun) else noun


def entity_spans(text: str) -> list[str]:
    """Names in a text, longest first: runs of capitalised words, with "of", "the" and the like between."""
    word = r"(?:[A-ZÀ-ÖØ-Þ][\w’'.-]*|\d[\w.-]*)"
    joint = r"(?:of|the|de|da|di|del|van|von|der|den|la|le|al|bin|and|y|&)"
    spans = []
    for match in re.finditer(rf"{word}(?: (?:{joint} )*{word})*", text):
        span = re.sub(r"['’]s$", "", match.group().rstrip(".,'’"))
        if match.start() == 0:
            # the first word is capitalised anyway: part of the name only when it is no common opener
            head, _, rest = span.partition(" ")
            if head.casefold() in {*_QUESTION_WORDS, *_HELPERS, *_ORDERS, *_PREPOSITIONS, "the", "a", "an"}:
                span = re.sub(rf"^(?:{joint} )+", "", rest)
        if len(span) > 1 and span not in spans:
            spans.append(span)
    return sorted(spans, key=lambda span: -len(span))


_POINTING = "a an the of it its this that these there here and or not yes no".split()
_UNSAID = {*_HELPERS, *_PREPOSITIONS, *_POINTING}


def told_alike(one: str, other: str, question: str) -> bool:
    """Whether two answers have a word in common that tells something, and stands in neither's `question`."""
    first, second, asked = (set(re.findall(r"\w+", text.casefold())) for text in (one, other, question))
    return bool((first & second) - asked - _UNSAID)


LONG = 12  # words; what is longer is a text, of which every word counts
_EXACT = re.compile(
    r"""\d                                # numbers, dates, prices, most codes and telephone numbers
    | \w://\S | \bwww\.\w | \S@\S+\.\w     # addresses
    | \b[\w-]+\.(?:com|org|net|io|dev|edu|gov|info|app|[a-z]{2})\b(?:/|\W*$)
    | [\w.-]+[/\\#_=+~^|][\w.-]            # paths, keys, names of files
    | \b[A-Z]{2,}[-.:][A-Z-]{2,}\b         # codes without digits
    | \b(?=\w*[a-z]\w*[A-Z]\w*[a-z]\w*[A-Z])\w{6,}""",  # keys and passwords of mixed case
    re.VERBOSE,
)


def is_exact(answer: str) -> bool:
    """Whether an answer is worth nothing with one sign changed: a number, a code, an address, a long text."""
    return _EXACT.search(answer) is not None or len(answer.split()) > LONG
