"""The tables of the rephraser: patterns of questions, and what else one can say for each.

A pattern is matched, case aside, against the bare question (no final mark); its named groups fill the frames.
{be} is is, are, was or were; {own} is the possessive of {s} or {y}; a frame's first letter becomes a capital.
"""

from __future__ import annotations

_PIC = r"(?:picture|image|photo|photograph|drawing)"
_BE = r"(?P<be>is|are|was|were)"
_WHAT_IS = r"(?:what|who)(?: is|'s| are| was)"

NAME = [
    "What is {s} called?", "Tell me {own} name.", "What is the name of {s}?",
    "Do you know what {s} is called?", "Name {s}.", "What name does {s} have?", "What is {own} name?",
    "By what name is {s} known?", "Do you know the name of {s}?", "What do people call {s}?",
    "What's {own} name?",
]  # fmt: skip
WHAT = [
    "What does the picture show?", "What can be seen here?", "Name the thing in this picture.",
    "What do you see in this image?", "What is shown here?", "Tell me what this picture shows.",
    "What is this?", "What is in this picture?", "What is depicted in the image?", "What am I looking at?",
    "What is in this photo?", "Say what can be seen in the picture.", "What is pictured here?",
]  # fmt: skip
KIND = [
    "{s} {be} what {k} of {n}?", "Which sort of {n} {be} {s}?", "Tell me what kind of {n} {s} {be}.",
    "What type of {n} {be} {s}?", "Do you know which {k} of {n} {s} {be}?", "What sort of {n} {be} {s}?",
    "Can you say which kind of {n} {s} {be}?",
]  # fmt: skip
ATTRIBUTE = [
    "What is the {n} of {s}?", "Tell me the {n} of {s}.", "What {n} does {s} have?", "Which {n} {be} {s}?",
    "{s} {be} what {n}?", "Do you know {own} {n}?", "Name the {n} of {s}.",
]  # fmt: skip
OF = [
    "Tell me the {x} of {y}.", "{own} {x} {be} {wh}?", "Do you know the {x} of {y}?",
    "{Wh} {be} {own} {x}?", "Name the {x} of {y}.", "The {x} of {y} {be} {wh}?",
    "Can you give me the {x} of {y}?", "{Wh} {be} the {x} of {y}?",
]  # fmt: skip
PRICE = [
    "What is the price of {s}?", "How much is {s}?", "What does {s} cost?", "How much does {s} cost?",
    "Tell me the price of {s}.", "How much do I have to pay for {s}?", "What would I pay for {s}?",
    "Do you know what {s} costs?",
]  # fmt: skip
AGE = [
    "What is the age of {s}?", "How many years old {be} {s}?", "Tell me how old {s} {be}.",
    "What age {be} {s}?", "Do you know {own} age?", "How old {be} {s}?", "{s} {be} how old?",
]  # fmt: skip
MEASURE = [
    "What is the {noun} of {s}?", "Tell me how {adj} {s} {be}.", "Do you know how {adj} {s} {be}?",
    "Tell me the {noun} of {s}.", "{s} {be} how {adj}?", "What {noun} does {s} have?",
]  # fmt: skip
OWNER = [
    "Who is the owner of {s}?", "Whom does {s} belong to?", "Who owns {s}?", "Whose is {s}?",
    "Tell me who owns {s}.", "Do you know who {own} owner is?", "{s} belongs to whom?",
    "Name the owner of {s}.",
]  # fmt: skip
COUNT = [
    "What is the number of {n} {rest}?", "Tell me how many {n} there are {rest}.", "Count the {n} {rest}.",
    "How many {n} can you count {rest}?", "Do you know how many {n} there are {rest}?",
    "How many {n} do you see {rest}?",
]  # fmt: skip
PLACE = [
    "Tell me where {s} {be}.", "What is the location of {s}?", "In which place {be} {s}?",
    "Where can {s} be found?", "Do you know where {s} {be}?", "At what place {be} {s}?",
    "Where would I find {s}?",
]  # fmt: skip
BORN = [
    "What is the birthplace of {s}?", "Tell me where {s} was born.", "In what place was {s} born?",
    "What is {own} place of birth?", "{s} was born where?", "Do you know the birthplace of {s}?",
]  # fmt: skip
MADE_OF = [
    "What material is {s} made of?", "Of what is {s} made?", "Which material is {s} made from?",
    "Tell me what {s} is made of.", "What is the material of {s}?", "{s} is made of what?",
]  # fmt: skip
USE = [
    "What is the purpose of {s}?", "What do people use {s} for?", "Tell me what {s} is used for.",
    "For what purpose is {s} used?", "What can one do with {s}?", "{s} is used for what?",
]  # fmt: skip
EATS = [
    "What food does {s} eat?", "Tell me what {s} eats.", "What is {own} food?", "What is {s} fed?",
    "What does {s} feed on?", "Do you know what {s} eats?", "On what does {s} feed?",
]  # fmt: skip
DID = [
    "Tell me who {verb} {s}.", "{s} was {past} by whom?", "By whom was {s} {past}?",
    "Who was it that {verb} {s}?", "Do you know who {verb} {s}?", "Which person {verb} {s}?",
    "Name the person who {verb} {s}.",
]  # fmt: skip
SPOUSE = [
    "Who is the spouse of {s}?", "To whom is {s} married?", "Tell me who {s} is married to.",
    "Who is {own} spouse?", "{s} is married to whom?", "Who did {s} marry?",
    "Do you know whom {s} married?",
]  # fmt: skip

PAST = {
    "wrote": "written", "painted": "painted", "invented": "invented", "founded": "founded", "made": "made",
    "discovered": "discovered", "built": "built", "directed": "directed", "created": "created",
    "drew": "drawn", "designed": "designed", "composed": "composed", "sang": "sung", "took": "taken",
    "bought": "bought", "sold": "sold", "baked": "baked", "won": "won", "led": "led", "planted": "planted",
    "found": "found", "developed": "developed", "started": "started", "cooked": "cooked",
    "trained": "trained", "named": "named", "recorded": "recorded", "produced": "produced",
    "published": "published", "translated": "translated",
}  # fmt: skip
MEASURES = {
    "tall": "height", "high": "height", "big": "size", "large": "size", "long": "length", "heavy": "weight",
    "deep": "depth", "wide": "width", "fast": "speed", "hot": "temperature", "expensive": "price",
    "old": "age",
}  # fmt: skip
_ATTRIBUTES = "colou?r|size|shape|age|weight|height|flavou?r|brand|nationality|religion|profession|length"
_IN_PIC = rf"(?:in|on) (?:this|the) {_PIC}"

# (intent, pattern, frames); the first that matches gives the frames that change most.
RULES: list[tuple[str, str, list[str]]] = [
    ("name", rf"{_WHAT_IS} (?P<s>.+?)(?:'s|(?<=s)') name", NAME),
    ("name", rf"{_WHAT_IS} the name of (?P<s>.+)", NAME),
    ("name", r"what (?:is|are|was) (?P<s>.+?) called", NAME),
    ("name", r"what (?:name does (?P<s>.+?) have|do (?:people|you|they) call (?P<s2>.+))", NAME),
    ("name", r"(?:tell me|give me|do you know) (?:the name of (?P<s>.+)|(?P<s2>.+?)'s name)", NAME),
    ("name", r"(?:who(?: is|'s)|name|(?:what|how) do you call) (?P<s>th(?:is|at) (?!\w+ of )[\w -]+)", NAME),
    ("what", rf"what(?: is|'s|s)(?: (?:shown|seen|depicted|pictured|visible))? {_IN_PIC}", WHAT),
    ("what", r"what(?: is|'s)(?: (?:this|that|it|here|pictured here|shown here))", WHAT),
    ("what", rf"what (?:do|can) you see(?: here| {_IN_PIC})?", WHAT),
    ("what", rf"what does (?:this|the) {_PIC} (?:show|depict|contain|represent)", WHAT),
    ("what", rf"what (?:can be seen|is (?:shown|seen|depicted))(?: here| {_IN_PIC})?", WHAT),
    ("what", rf"(?:what|which) (?:thing|object) is (?:this|(?:shown )?(?:here|{_IN_PIC}))", WHAT),
    ("what", rf"(?:describe|identify) (?:this|the) (?:{_PIC}|thing|object)", WHAT),
    ("what", r"what am i looking at", WHAT),
    ("kind", rf"(?:what|which) (?P<k>kind|type|sort) of (?P<n>.+?) {_BE} (?P<s>(?!in\b|on\b|shown).+)", KIND),
    ("price", r"(?:how much is|what(?: is|'s) the price of) (?P<s>.+)", PRICE),
    ("price", r"(?:how much|what) does (?P<s>.+?) cost", PRICE),
    ("age", rf"how old {_BE} (?P<s>.+)", AGE),
    ("measure", rf"how (?P<adj>{'|'.join(MEASURES)}) {_BE} (?P<s>.+)", MEASURE),
    ("owner", r"(?:who owns|who(?: is|'s) the owner of|whose \w+ is|name the owner of) (?P<s>.+)", OWNER),
    ("owner", r"who(?:m)? does (?P<s>.+?) belong to|to whom does (?P<s2>.+?) belong", OWNER),
    ("count", r"how many (?P<n>.+?)(?: (?:are|is)(?: there)?| do you see| can you see)(?P<rest> .+)?", COUNT),
    ("spouse", r"who(?:m)?(?: is|'s) (?P<s>.+?) married to", SPOUSE),
    ("spouse", rf"{_WHAT_IS} (?:the )?(?:spouse|husband|wife) of (?P<s>.+)", SPOUSE),
    ("birthplace", r"(?:where|in (?:what|which) (?:city|town|place|country)) was (?P<s>.+?) born", BORN),
    ("place", rf"where {_BE} (?P<s>[^,]+?)(?: (?:located|found))?", PLACE),
    ("material", r"what(?: material)? is (?P<s>.+?) made (?:of|from|out of)", MADE_OF),
    ("use", r"what is (?P<s>.+?) used for", USE),
    ("food", r"what(?: food)? do(?:es)? (?P<s>.+?) eat", EATS),
    ("attribute", rf"(?:what|which) (?P<n>{_ATTRIBUTES}) {_BE} (?P<s>[\w '-]+)", ATTRIBUTE),
    ("did", rf"who (?P<verb>{'|'.join(PAST)}) (?P<s>.+)", DID),
    ("of", rf"(?P<wh>what|who|which) {_BE} (?:the )?(?P<x>[\w-]+(?: [\w-]+){{0,3}}?) of (?P<y>.+)", OF),
    ("of", rf"(?P<wh>what|who) {_BE} (?P<y>[^,]+?)(?:'s|(?<=s)') (?P<x>[\w-]+(?: [\w-]+){{0,3}})", OF),
    ("of", r"(?:name|tell me|give me|state) the (?P<x>[\w-]+(?: [\w-]+){0,3}?) of (?P<y>.+)", OF),
]

# What works for any question that can be put as a clause: "what this animal is playing".
CLAUSES = [
    "Do you know {c}?", "Tell me {c}.", "Can you say {c}?", "I would like to know {c}.",
    "Could you tell me {c}?", "I wonder {c}.", "Please let me know {c}.",
]  # fmt: skip
# For questions that ask yes or no: "whether this is a cat" without its "whether".
WHETHER = [
    "Would you say that {c}?", "Tell me whether {c}.", "Do you think {c}?", "Can you say whether {c}?",
    "Is it true that {c}?", "I would like to know whether {c}.",
]  # fmt: skip
# What works for any question as it stands: {q} opens small, {Q} as written, {bare} has no final mark.
FRAMINGS = [
    "Question: {Q}", "{low}", "Can you tell me: {q}", "Please answer: {q}", "{bare}",
    "Here is a question: {Q}", "Quick question: {q}", "Now answer this: {q}", "I have a question. {Q}",
    "{Q} Please answer.", "So, {q}", "Tell me, {q}",
]  # fmt: skip
# What works for an order: "Name this cat."
REQUESTS = [
    "Please {q}", "{low}", "Could you {b}?", "Can you {b}, please?", "I want you to {b}.", "{bare}",
    "Now {q}", "I would like you to {b}.", "Would you {b}?", "Here is what I want: {q}",
]  # fmt: skip
# What works for a statement that waits for its end, which stays at the end.
OPENINGS = [
    "Complete the sentence: {Q}", "As everyone knows, {q}", "{low}", "It is known that {q}", "In fact, {q}",
    "Finish this sentence: {Q}", "According to the records, {q}", "It is true that {q}",
    "Fill in the end: {Q}", "As far as we know, {q}", "Here is a fact: {Q}", "To be precise, {q}",
]  # fmt: skip
STATEMENTS: list[tuple[str, list[str]]] = [
    (r"the (?P<x>[\w -]+?) of (?P<y>.+) (?P<be>is|was)", ["{own} {x} {be}"]),
    (r"(?P<y>.+?)(?:'s|(?<=s)') (?P<x>[\w -]+) (?P<be>is|was)", ["The {x} of {y} {be}"]),
    (r"(?P<s>.+?) was born in", ["The birthplace of {s} is", "{own} place of birth is", "{s} was born in"]),
    (r"(?P<s>.+?) (?:is|was) (?:located|situated) in", ["The location of {s} is", "{s} lies in"]),
    (r"(?P<s>.+?) was written by", ["The author of {s} is", "The person who wrote {s} is"]),
    (r"(?P<s>.+?) (?:works for|is employed by)", ["The employer of {s} is", "{s} has a job at"]),
    (r"(?P<s>.+?) (?:plays for|is a player of)", ["{own} team is", "The team of {s} is"]),
    (r"(?P<s>.+?) is married to", ["The spouse of {s} is", "{own} spouse is"]),
    (r"(?P<s>.+?) was founded by", ["The founder of {s} is", "The person who founded {s} is"]),
    (r"(?P<s>.+?) (?:speaks|speaks the language)", ["The language of {s} is", "{own} language is"]),
]
