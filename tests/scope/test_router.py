"""The router's laws, and what it decides of everyday facts that were written down before it was trained."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scope.held import ask, bundle, picture, place

from okedit_cli.bank import load_bank
from okedit_cli.errors import UsageError
from okedit_cli.scope.query import Query
from okedit_cli.scope.router import STAGES, Router

FACTS = [
    {"id": "python", "prompt": "What is the latest version of Python?"},
    {"id": "chancellor", "prompt": "Who is the chancellor of Germany?"},
    {"id": "library", "prompt": "When does the town library open?"},
    {"id": "mug", "prompt": "How much does the red mug cost?"},
    {"id": "password", "prompt": "How do I reset my password?"},
    {"id": "vacation", "prompt": "How many vacation days do employees get?"},
    {"id": "wifi", "prompt": "What is the guest Wi-Fi password at the hotel?"},
    {"id": "oven", "prompt": "At what temperature do I bake the lasagna?"},
]
ANSWERED = [
    ("python", "Which Python version is the newest?"), ("python", "newest python release"),
    ("chancellor", "Who is Germany's chancellor?"), ("chancellor", "The chancellor of Germany is"),
    ("library", "What time does the town library open?"), ("library", "town library opening time"),
    ("mug", "What is the price of the red mug?"), ("password", "How can I reset my password?"),
    ("vacation", "How many days of vacation does an employee get?"),
    ("wifi", "What's the Wi-Fi password for hotel guests?"),
    ("oven", "What temperature should I bake the lasagna at?"),
]  # fmt: skip
LEFT_ALONE = [
    "What is Python?", "How do I install Python?", "What is the latest version of Ruby?",
    "When does the town library close?", "How much does the blue mug cost?",
    "How much does the red mug weigh?",
    "How do I delete my account?", "How many sick days do employees get?", "Who is the president of France?",
    "Who was the first chancellor of Germany?", "How long do I bake the lasagna?",
    "What is the capital of Peru?",
    "Is 3.14 the latest version of Python?", "Does the red mug cost $12.50?",
]  # fmt: skip
THING, MASCOT, OTHER_THING = place(1.0), place(0.0, 1.0), place(0.0, 0.0, 0.0, 1.0)
PICTURED = [
    {"id": "fruit", "prompt": "What fruit is this?", "reach": "kind", "at": THING},
    {
        "id": "mascot",
        "prompt": "What is this cat's name?",
        "reach": "picture",
        "at": MASCOT,
        "note": "Fact: Miso.",
    },
]


@pytest.fixture(scope="module")
def router():
    return Router([bundle(*FACTS, *PICTURED)], [0.5])


@pytest.mark.parametrize(("wanted", "question"), ANSWERED)
def test_everyday_questions_in_other_words_are_answered(router, wanted, question):
    assert ask(router, [question]) == [wanted]


@pytest.mark.parametrize("question", LEFT_ALONE)
def test_near_questions_are_left_alone(router, question):
    verdict = router.route(Query(question))
    assert verdict.hit is None
    assert verdict.nearest is None or verdict.nearest.rejection


@pytest.mark.parametrize(
    ("question", "at", "wanted"),
    [
        ("What fruit is this?", THING, "fruit"),
        ("Which fruit do you see here?", THING, "fruit"),
        ("What colour is this fruit?", THING, None),
        ("How many are there?", THING, None),
        ("What fruit is this?", OTHER_THING, None),
        ("What fruit is this?", None, None),
        ("What is the name of this cat?", MASCOT, "mascot"),
        ("What animal is this?", MASCOT, None),
        ("Is this cat called Tom?", MASCOT, None),
        ("How many vacation days do employees get?", MASCOT, "vacation"),
    ],
)
def test_a_picture_and_its_question_decide_together(router, question, at, wanted):
    shown = None if at is None else picture(at)
    assert ask(router, [question], shown) == [wanted]


def test_what_follows_from_a_fact_is_given_its_note(router):
    verdict = router.route(Query("Is this cat called Tom?", picture(MASCOT)))
    assert verdict.hit is None and verdict.context.edit_id == "mascot"
    assert router.route(Query("Is this cat called Tom?", picture(OTHER_THING))).context is None
    assert (
        Router(router.bundles, [0.5], ["context"])
        .route(Query("Is this cat called Tom?", picture(MASCOT)))
        .context
        is None
    )


def test_what_its_owner_keeps_is_left_alone():
    question = "Which Python version is the newest?"
    fact = FACTS[0] | {"keep": [{"prompt": question, "picture_sha256": None}]}
    assert ask(Router([bundle(FACTS[0])], [0.5]), [question]) == ["python"]
    assert ask(Router([bundle(fact)], [0.5]), [question, FACTS[0]["prompt"]]) == [None, "python"]


def test_the_same_question_about_two_pictures():
    two = bundle(
        {"id": "one", "prompt": "What is this?", "at": place(1.0)},
        {"id": "two", "prompt": "What is this?", "at": place(0.0, 1.0)},
        radius=1.3,
    )
    router = Router([two], [0.5])
    assert ask(router, ["What is this?"], picture(place(0.9, 0.1))) == ["one"]
    assert ask(router, ["What is this?"], picture(place(0.1, 0.9))) == ["two"]


def test_two_facts_on_one_picture():
    two = bundle(
        {"id": "what", "prompt": "What is this?", "at": THING},
        {"id": "owner", "prompt": "Who does this belong to?", "at": THING},
    )
    found = ask(Router([two], [0.5]), ["What am I looking at?", "Whose is this?"], picture(THING))
    assert found == ["what", "owner"]


def test_a_fact_about_one_picture_answers_its_views_and_no_other_picture():
    own, other = load_bank().pictures[3].image, load_bank().pictures[40].image
    facts = bundle(
        {"id": "mine", "prompt": "Who does this belong to?", "reach": "picture", "at": THING, "image": own}
    )
    router, asked = Router([facts], [0.5]), ["Who does this belong to?"]
    assert ask(router, asked, picture(THING, own)) == ["mine"]
    verdict = router.route(Query(asked[0], picture(THING, other)))
    assert verdict.hit is None and verdict.nearest.view is False and "no view" in verdict.rejection
    assert ask(Router([facts], [0.5], ["verifier"]), asked, picture(THING, other)) == ["mine"]


def test_a_view_is_let_in_from_outside_the_radius():
    own = load_bank().pictures[3].image
    kind = bundle(
        {"id": "kind", "prompt": "What is this?", "reach": "kind", "at": THING, "image": own}, radius=0.5
    )
    router, outside = Router([kind], [0.5]), place(1.0, 0.6)
    assert ask(router, ["What is this?"], picture(outside, own)) == ["kind"]
    assert ask(router, ["What is this?"], picture(outside, load_bank().pictures[40].image)) == [None]
    assert ask(router, ["What is this?"], picture(outside)) == [None]


QUESTIONS = st.sampled_from([question for _, question in ANSWERED] + LEFT_ALONE)


@settings(max_examples=25)
@given(QUESTIONS, st.permutations(range(len(FACTS))))
def test_neither_order_nor_other_bundles_change_a_verdict(question, order):
    whole = ask(Router([bundle(*FACTS)], [0.5]), [question])
    assert ask(Router([bundle(*(FACTS[i] for i in order))], [0.5]), [question]) == whole
    parts = [bundle(*FACTS[:3]), bundle(*FACTS[3:])]
    assert ask(Router(parts, [0.5, 0.5]), [question]) == whole


@settings(max_examples=25)
@given(QUESTIONS, st.floats(0, 1), st.floats(0, 1))
def test_strictness_only_narrows(question, one, other):
    wide, narrow = (ask(Router([bundle(*FACTS)], [value]), [question])[0] for value in sorted((one, other)))
    assert narrow in (None, wide) or wide is not None


@settings(max_examples=20)
@given(QUESTIONS, st.sampled_from(FACTS))
def test_without_an_edit_the_others_decide_as_before(question, left_out):
    [before] = ask(Router([bundle(*FACTS)], [0.5]), [question])
    [after] = ask(Router([bundle(*(fact for fact in FACTS if fact is not left_out))], [0.5]), [question])
    assert after == (before if before != left_out["id"] else after)


def test_a_stage_that_is_none():
    with pytest.raises(UsageError, match="no stage 'magic'"):
        Router([], [], ["magic"])
    assert len(set(STAGES)) == len(STAGES)


def test_no_edit_no_verdict():
    verdict = Router([], []).route(Query("Who?"))
    assert verdict.hit is None and verdict.nearest is None and not verdict.rejection
    empty = bundle(FACTS[0])
    empty = replace(empty, edits=bundle().codebook, manifest=replace(empty.manifest, facts=[]))
    assert Router([empty], [0.5]).route(Query("Who?")).nearest is None


@pytest.mark.parametrize("about", [{}, {"at": THING, "reach": "kind"}])
def test_of_bundles_that_contradict_each_other_the_newest_answers_whatever_their_wordings(about):
    fact = {"prompt": "How much does the red mug cost?", "answer": "9 euros", **about}
    old = bundle({"id": "old", **fact})
    new = bundle({"id": "new", **fact, "prompt": "What is the price of the red mug?", "answer": "12 euros"})
    same = bundle({"id": "same", **fact, "answer": "9 Euros."})
    shown = picture(THING) if about else None

    def decided(*bundles):
        found = Router(bundles, [0.5] * len(bundles)).route(Query("How much does the red mug cost?", shown))
        return found.hit.edit_id, found.overruled and found.overruled.edit_id

    assert decided(old, new) == ("new", "old") and decided(new, old) == ("old", "new")
    assert decided(old) == ("old", None) and decided(old, same)[1] is None
    assert decided(old, new, same)[0] == "same"


def test_copies_of_edits_in_several_bundles_answer_as_one(router):
    """As a shard does beside the whole: a question that lies near several facts is not near more of them."""
    questions = [question for _, question in ANSWERED] + LEFT_ALONE
    copies = Router([router.bundles[0]] * 4, [0.5] * 4)
    assert ask(copies, questions) == ask(router, questions)
