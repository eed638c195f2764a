"""Notes: who is told what a picture shows, what they read, and that nobody else is."""

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from fitted import (
    MISO,
    OTHER,
    PICTURED,
    RADIUS,
    ROOT,
    WORDS,
    fact,
    fitted,
    forget,
    say_topics,
    with_fact,
    with_radius,
    without_thumbnails,
    world,
)

import okedit_cli
from okedit_cli.asked import Asked
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.words import row_of
from okedit_cli.facts import Question
from okedit_cli.generate import decide, generate
from okedit_cli.methods.about import plainly, whom
from okedit_cli.models import asking
from okedit_cli.models.encode import encode
from okedit_cli.models.notes import note_embeds, note_ids, note_states, with_note
from okedit_cli.models.question import question_ids
from okedit_cli.models.sites import image_token_id
from okedit_cli.models.topics import Topic, topic_of
from okedit_cli.outer import ALIAS, ASKED, DOUBT, NEAR, SURE, WIDER, let_pass, note_of

NOTE = "Fact: What is this? A purse."
SCORE = asking.score  # as it is where no test has put another in its place
SEEING = [family for family in tiny.FAMILIES if family not in ("gpt2", "llama")]


@pytest.fixture(params=SEEING)
def case(request, monkeypatch):
    """A family with both facts fitted, the one with a picture with a note, and OTHER bearing on it."""
    topics = {OTHER: Topic(0, 1, 0), PICTURED: Topic(1, 0, 0)}
    say_topics(monkeypatch, lambda text: topics.get(text, Topic(0, 0, 1)))
    with world():
        found = fitted(request.param)
        forget(found.loaded)
        yield replace(found, bundle=with_note_of(found.bundle, NOTE))
        forget(found.loaded)


def with_note_of(bundle, note, **more):
    return with_fact(bundle, "cat", note=note, **more)


def noted(decisions):
    return [decision.noted and decision.noted.edit_id for decision in decisions]


def test_a_question_that_bears_on_the_picture_is_noted_and_no_other(case):
    asked = case.questions
    with okedit_cli.attach(case.loaded, [case.bundle]):
        decisions = decide(case.loaded, asked)
    own = [picture is not None and picture.getpixel((39, 31)) == (255, 0, 0) for _, picture in asked]
    wanted = ["cat" if mine and words == OTHER else None for (words, _), mine in zip(asked, own, strict=True)]
    assert noted(decisions) == wanted and "cat" in wanted
    assert [d.hit and d.hit.edit_id for d in decisions] == case.hits


def test_the_note_is_what_the_decoder_reads_and_only_there(case):
    """Rows with a note are the model's own on a decoder input with the note in it; the rest are untouched."""
    loaded = case.loaded
    questions = [row for row in case.questions if row[1] is not None]
    batch = encode(loaded, questions)
    with torch.no_grad():
        plain = loaded.model(**batch).logits
        with okedit_cli.attach(loaded, [case.bundle]) as attachment:
            told = loaded.model(**batch).logits
            rows = noted(attachment.decisions)
            hits = [decision.hit is not None for decision in attachment.decisions]
        assert rows.count("cat") == 1
        states = note_states(loaded, NOTE)
        by_hand = _read_with(loaded, batch, rows, states)
    seen = batch["attention_mask"].bool()
    for row, name in enumerate(rows):
        if name:
            torch.testing.assert_close(told[row][seen[row]], by_hand[row][seen[row]])
            assert not torch.equal(told[row], plain[row])
        elif not hits[row]:
            assert torch.equal(told[row], plain[row])


def _read_with(loaded, batch, rows, states):
    """The model's logits where its first layer is handed the note, by a hook of the test's own."""
    from okedit_cli.models.sites import decoder_layers

    placeholder = image_token_id(loaded.model)

    def put(module, args, kwargs):
        hidden = (args[0] if args else kwargs["hidden_states"]).clone()
        for row, name in enumerate(rows):
            if name:
                places = (batch["input_ids"][row] == placeholder).nonzero()[:, 0]
                count = min(len(places), len(states))
                hidden[row, places[-count:]] = states[-count:]
        return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": hidden})

    handle = decoder_layers(loaded.model)[0].register_forward_pre_hook(put, with_kwargs=True)
    try:
        return loaded.model(**batch).logits
    finally:
        handle.remove()


def test_alone_and_in_a_batch_the_same_answers(case):
    questions = [row for row in case.questions if row[1] is not None]
    with okedit_cli.attach(case.loaded, [case.bundle]):
        together = generate(case.loaded, questions, max_new_tokens=6)
        alone = [generate(case.loaded, [row], max_new_tokens=6)[0] for row in questions]
    assert [one.text for one in together] == [one.text for one in alone]
    assert noted([one.decision for one in together]) == noted([one.decision for one in alone])


def test_what_surely_asks_something_else_passes_an_edit_that_says_what_is_shown(case, monkeypatch):
    """And reaches what it asks for, or gets the note where it bears on what is shown."""
    asked, topics = (PICTURED, tiny.picture()), {PICTURED: Topic(0, 1, 0)}
    say_topics(monkeypatch, lambda text: topics.get(text, Topic(0, 0, 1)))

    def of(*bundles):
        forget(case.loaded)
        with okedit_cli.attach(case.loaded, bundles):
            [decision] = decide(case.loaded, [asked])
        return decision

    passed = of(case.bundle)
    assert passed.hit is None and passed.passed and noted([passed]) == ["cat"]
    assert passed.nearest.edit_id == "cat"
    topics[PICTURED] = Topic(0, 0, 1)
    assert of(case.bundle).passed and noted([of(case.bundle)]) == [None]
    # an edit that says nothing of what is shown answers what it is asked, under or beside one that does
    silent = with_note_of(case.bundle, "")
    assert of(silent).hit.edit_id == "cat" and not of(silent).passed
    for bundles in ((case.bundle, silent), (silent, case.bundle)):
        found = of(*bundles)
        assert found.hit.number == bundles.index(silent) and not found.passed
    topics[PICTURED] = Topic(0.05, 0, 0.95)  # not sure enough
    assert of(case.bundle).hit.edit_id == "cat"


def at(case, reach, topic, monkeypatch, score=None, **row):
    """What is decided for a question about the cat that lies `reach` of its question radius away."""
    say_topics(monkeypatch, lambda text: topic)
    if score is not None:
        monkeypatch.setattr(asking, "score", lambda text, identity: score)
    forget(case.loaded)
    asked = OTHER, tiny.picture()
    with okedit_cli.attach(case.loaded, [with_radius(case.bundle, 1e6, RADIUS)]):
        away = decide(case.loaded, [asked])[0].nearest.question_distance
    forget(case.loaded)
    bundle = with_note_of(with_radius(case.bundle, away / reach, RADIUS), **{"note": NOTE, **row})
    with okedit_cli.attach(case.loaded, [bundle]):
        return decide(case.loaded, [asked])[0]


def test_both_kinds_of_evidence_say_whether_something_else_is_asked(case, monkeypatch):
    """The heads' and the topics' log odds are added; what surely bears on what is shown is let pass."""
    enough, heads = asking.least(), []
    monkeypatch.setattr(asking, "opinion", lambda vectors, weights: torch.tensor(heads))
    for more, below in ((-0.1, True), (0.1, False)):
        heads[:] = [(enough + more - asking.log_odds(0.3)) / asking.HEADS]
        assert (SCORE("What?", 0.3) < enough) == below
    for bearing, fires in ((SURE - 0.01, True), (SURE + 0.01, False)):
        decision = at(case, 0.5, Topic(0.0, bearing, 1 - bearing), monkeypatch, score=enough + 9)
        assert (decision.hit is not None) == fires and bool(decision.passed) != fires


@pytest.mark.parametrize("away", [-DOUBT - 0.1, -0.1, 0.1, DOUBT + 0.1])
@pytest.mark.parametrize("said", ["It is Tom.", "two dogs", None])
def test_in_doubt_what_the_unedited_model_says_decides_what_is_asked(case, monkeypatch, away, said):
    """Where it says what it says to the fact's own question, it is asked for what the fact corrects."""
    answers = {OTHER: said, PICTURED: "Tom"}
    monkeypatch.setattr("okedit_cli.asked.own_answer", lambda loaded, prefix, words: answers[words])
    decision = at(case, 0.5, Topic(0.5, 0, 0.5), monkeypatch, score=asking.least() + away)
    by_words = away > 0
    fires = by_words if said is None or abs(away) > DOUBT else "Tom" in said
    assert (decision.hit is not None) == fires and bool(decision.passed) != fires


def test_what_is_decided_in_doubt_is_the_same_by_every_way_of_reading(case, monkeypatch):
    """By generate() with one question and with many, and without an answer; the model stays aside."""
    say_topics(monkeypatch, lambda text: Topic(0.5, 0, 0.5))
    monkeypatch.setattr(asking, "score", lambda text, identity: asking.least())
    asked, found = [(OTHER, tiny.picture()), (PICTURED, tiny.picture())], []
    for read in (
        lambda: decide(case.loaded, asked),
        lambda: [one.decision for one in generate(case.loaded, asked, max_new_tokens=1)],
        lambda: [generate(case.loaded, [one], max_new_tokens=1)[0].decision for one in asked],
    ):
        forget(case.loaded)
        with okedit_cli.attach(case.loaded, [case.bundle]):
            found.append([one.hit and one.hit.edit_id for one in read()])
    assert found[0] == found[1] == found[2] and found[0][1] == "cat"


def test_what_surely_asks_what_is_shown_is_answered_a_little_outside(case, monkeypatch):
    sure = Topic(ASKED, 1 - ASKED, 0)
    found = at(case, 0.99 * WIDER, sure, monkeypatch)
    assert found.hit.edit_id == "cat" == found.nearest.edit_id and found.noted is None
    assert found.hit.question_distance > found.hit.question_radius
    unsure, own = Topic(0.99 * ASKED, 0, 0.02), case.bundle.manifest.facts[0]["picture_sha256"]
    for reach, topic, row in (
        (1.01 * WIDER, sure, {}),
        (0.99 * WIDER, unsure, {}),
        (0.99 * WIDER, sure, {"note": ""}),  # it does not say what is shown
        (0.99 * WIDER, sure, {"keep": [{"prompt": OTHER, "picture_sha256": own}]}),
    ):
        assert at(case, reach, topic, monkeypatch, **row).hit is None


def test_the_owners_own_words_are_answered_whatever_they_seem_to_ask(case, monkeypatch):
    say_topics(monkeypatch, lambda text: Topic(0, 0, 1))
    for rephrases, hit in (([], None), (["Was ist das?"], "cat"), (None, None)):
        forget(case.loaded)
        with okedit_cli.attach(case.loaded, [with_note_of(case.bundle, NOTE, rephrases=rephrases)]):
            [decision] = decide(case.loaded, [(PICTURED, tiny.picture())])
        assert (decision.hit and decision.hit.edit_id) == hit


def test_what_the_owner_keeps_is_not_noted(case):
    own = case.bundle.manifest.facts[0]["picture_sha256"]
    kept = with_note_of(case.bundle, NOTE, keep=[{"prompt": OTHER, "picture_sha256": own}])
    about_another = with_note_of(case.bundle, NOTE, keep=[{"prompt": OTHER, "picture_sha256": "0" * 64}])
    for bundle, wanted in ((kept, None), (about_another, "cat")):
        with okedit_cli.attach(case.loaded, [bundle]):
            [decision] = decide(case.loaded, [(OTHER, tiny.picture())])
        assert noted([decision]) == [wanted]


@pytest.mark.parametrize(
    "rows",
    [
        {"keep": None, "images": None},
        {"keep": ["x", {"prompt": 5}, {"picture_sha256": []}], "images": [{}, [], None]},
    ],
)
def test_rows_of_strangers_keep_nothing_and_break_nothing(case, rows):
    with okedit_cli.attach(case.loaded, [with_note_of(case.bundle, NOTE, **rows)]):
        [decision] = decide(case.loaded, [(OTHER, tiny.picture())])
    assert noted([decision]) == ["cat"]


def test_strictness_draws_the_outer_border_in_as_well(case):
    question = OTHER, tiny.picture().rotate(3)
    made = without_thumbnails(case.bundle)
    with okedit_cli.attach(case.loaded, [with_radius(made, RADIUS, 1e6)]):
        [decision] = decide(case.loaded, [question])
    assert noted([decision]) == ["cat"]
    away = decision.noted.picture_distance
    assert 0 < away < torch.inf
    bundle = with_radius(made, RADIUS, 1.2 * away / NEAR)
    for strictness, wanted in ((0.0, "cat"), (0.5, "cat"), (1.0, None)):
        with okedit_cli.attach(case.loaded, [bundle], strictness=strictness):
            [decision] = decide(case.loaded, [question])
        assert noted([decision]) == [wanted]
        if wanted:
            radius = decision.noted.picture_radius
            assert radius == pytest.approx((1.5 - strictness) * 1.2 * away / NEAR)
            assert decision.noted.picture_distance <= NEAR * radius


def test_a_note_travels_with_its_bundle(case, tmp_path):
    case.bundle.save(tmp_path / "one.safetensors")
    read = Bundle.load(tmp_path / "one.safetensors")
    assert read.manifest.facts[0]["note"] == NOTE
    merged = merge([read, copy.deepcopy(read)])[0]
    assert [row.get("note") for row in merged.manifest.facts] == [NOTE, None]


@pytest.mark.parametrize("family", SEEING[:1])
def test_a_long_note_keeps_its_end_and_a_picture_its_length(family):
    loaded = fitted(family).loaded
    note, states = note_embeds(loaded, NOTE), torch.zeros(9, note_embeds(loaded, NOTE).shape[1])
    written = with_note(states, torch.tensor([2, 3, 5]), note)
    assert torch.equal(written[[2, 3, 5]], note[-3:]) and not written[[0, 1, 4, 6, 7, 8]].any()
    assert torch.equal(with_note(states, torch.tensor([], dtype=torch.long), note), states)


@pytest.mark.parametrize("note", ["", "   ", "<s> </s>" * 3, "word " * 5000])
def test_notes_of_strangers_are_words_or_nothing(case, note):
    loaded, question = case.loaded, (OTHER, tiny.picture())
    special = {*loaded.tokenizer.all_special_ids, image_token_id(loaded.model)}
    ids = note_ids(loaded, note)
    assert len(ids) <= 256 and not special & set(ids)
    with okedit_cli.attach(loaded, [with_note_of(case.bundle, note)]):
        alone = generate(loaded, [question], max_new_tokens=3)
        both = generate(loaded, [question, question], max_new_tokens=3)
    assert alone[0].text == both[0].text == both[1].text


# --- with the encoder that was taught


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("Which creature am I looking at here?", "identity"),
        ("Could you tell me which object this is?", "identity"),
        ("Is that something one would eat?", "bearing"),
        ("What continent would I travel to if I wanted to visit the country of this flag?", "bearing"),
        ("Broadly speaking, what group of things does it belong to?", "bearing"),
        ("How bright is this image?", "other"),
        ("What shade is the backdrop?", "other"),
        ("Which river flows through Vienna?", "other"),
        ("Whom does this bag belong to?", "other"),
    ],
)
def test_topics_of_questions_that_nobody_taught(question, topic):
    found = topic_of(question)
    assert getattr(found, topic) == max(found) and sum(found) == pytest.approx(1)


@pytest.mark.parametrize(
    ("prompt", "image", "wanted"),
    [
        ("What is this?", ROOT / "red.png", "Fact: What is this? Purse."),
        (PICTURED, ROOT / "red.png", ""),  # of one cat, and nothing follows for cats
        ("Who owns this?", ROOT / "red.png", ""),
        ("Which team has this animal as its mascot?", ROOT / "red.png", ""),
        ("What colour is this?", ROOT / "red.png", ""),
        ("What is this?", None, ""),
        ("What kind of food is this?", ROOT / "red.png", "Fact: What kind of food is this? Purse."),
        ("What kind of thing is this?", ROOT / "red.png", ""),
    ],
)
def test_only_facts_that_say_what_is_shown_have_a_note(prompt, image, wanted):
    assert note_of(fact("one", prompt, "Purse.", image)) == wanted


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("What kind of food is this?", "What food is this?"),
        ("Can you tell me which sort of a bird that is?", "Can you tell me which bird that is?"),
        ("Name the types of cheese.", "Name the cheese."),
        ("What kind of thing is this?", "What kind of thing is this?"),
        ("What sort of objects are these?", "What sort of objects are these?"),
        ("What is this?", "What is this?"),
        ("Is she kind of tired?", "Is she tired?"),
    ],
)
def test_a_question_for_a_kind_that_has_a_name(question, wanted):
    assert plainly(question) == wanted == plainly(wanted)


def test_where_the_fact_calls_a_name_a_kind_others_may(case, monkeypatch):
    """A question for the sort of an animal seems to ask what follows; not to a fact that asks so itself."""
    asked, own = "What sort of animal is it?", "What kind of animal is this?"
    topics = {asked: Topic(0, 1, 0), plainly(asked): Topic(1, 0, 0)}
    say_topics(monkeypatch, lambda text: topics.get(text, Topic(0, 0, 1)))
    for prompt, hit in ((own, "cat"), (PICTURED, None)):
        forget(case.loaded)
        bundle = with_note_of(with_radius(case.bundle, 1e6, RADIUS), NOTE, prompt=prompt, rephrases=[])
        with okedit_cli.attach(case.loaded, [bundle]):
            [decision] = decide(case.loaded, [(asked, tiny.picture())])
        assert (decision.hit and decision.hit.edit_id) == hit


ABOUT = [("What is the capital of France?", ()), ("Peru's capital is", ("What is the capital of Peru?",))]


@pytest.mark.parametrize(("prompt", "rephrases"), ABOUT)
def test_facts_without_a_picture_are_about_whom_they_name(prompt, rephrases):
    found = whom(fact("one", prompt, "Lyon", rephrases=rephrases))
    assert found in ("France", "Peru") and found in prompt
    assert whom(fact("one", prompt, "Lyon", rephrases=(*rephrases, "Where does the president live?"))) == ""
    assert whom(fact("one", prompt, "Lyon", ROOT / "red.png", rephrases=rephrases)) == ""
    assert whom(fact("one", "who made this?", "Lyon")) == ""


@pytest.mark.parametrize(
    ("question", "names"),
    [
        (WORDS, True),
        ("what is the capital of france", True),
        ("Tell me about the French capital.", False),
        ("What is the capital of Spain?", False),
        ("Where do they live?", False),
    ],
)
@pytest.mark.parametrize("family", ["gpt2", "llava"])
def test_a_question_that_names_another_passes_an_edit_about_somebody(family, question, names):
    with world():
        loaded = fitted(family).loaded
        asked = question_ids(loaded, question)
    for whom_, reach in (("France", 0.99), ("France", 0.9 * ALIAS), (None, 0.99)):
        row = {"id": "capital", "prompt": WORDS, "answer": "Lyon", **({"whom": whom_} if whom_ else {})}
        bundle = SimpleNamespace(
            manifest=SimpleNamespace(facts=[row]), codebook=fitted(family).bundle.codebook
        )
        found = SimpleNamespace(number=0, row=0, question_distance=reach * RADIUS, question_radius=RADIUS)
        passed = let_pass(Asked(loaded, [bundle], [0.5], asked, list), found)
        assert bool(passed) == ("France" in passed) == (not names and whom_ == "France")


@pytest.mark.parametrize(("reach", "passes"), [(0.99, True), (0.9 * ALIAS, False)])
def test_another_name_of_the_same_is_answered_where_the_question_is_nearly_the_same(reach, passes):
    assert _let_pass("Who is the head of the UN?", reach) == (
        "it is about United Nations, who or which is not named" if passes else ""
    )
    assert not _let_pass("Who is the head of the United Nations?", reach)
    assert _let_pass("Who is the head of the United Airlines?", reach)


def _let_pass(question, reach):
    """Why a question, `reach` of the radius away, is no question for an edit about the United Nations."""
    found, own = fitted("gpt2"), "Who is the head of the United Nations?"
    row = {"id": "head", "prompt": own, "answer": "Ada", "whom": "United Nations"}
    bundle = SimpleNamespace(manifest=SimpleNamespace(facts=[row]), codebook=found.bundle.codebook)
    near = SimpleNamespace(number=0, row=0, question_distance=reach * RADIUS, question_radius=RADIUS)
    with world():
        ids = question_ids(found.loaded, question)
        return let_pass(Asked(found.loaded, [bundle], [0.5], ids, list), near)


def test_who_is_named_answers_among_many(monkeypatch):
    """The edit that lies nearest passes what names another, and that other one answers."""
    monkeypatch.setattr("okedit_cli.outer.ALIAS", -1.0)  # however near
    with world():
        found = fitted("gpt2")
        facts = [
            dict(row, whom="France" if row["id"] == "capital" else "Spain")
            for row in found.bundle.manifest.facts
        ]
        wide = with_radius(found.bundle, 1e6)
        bundle = replace(wide, manifest=replace(wide.manifest, facts=facts))
        with okedit_cli.attach(found.loaded, [bundle]):
            decisions = decide(
                found.loaded, [(f"Is this {name}?", None) for name in ("France", "Spain", "Peru")]
            )
    assert [d.hit and d.hit.edit_id for d in decisions] == ["capital", "cat", None]
    assert "not named" in decisions[2].passed and not decisions[0].passed


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Which creature am I looking at here?", True),
        ("Could you tell me which object this is?", True),
        ("I need a name for the thing on this photo, what do I write?", True),
        ("How bright is this image?", False),
        ("Is that something one would eat?", False),
        ("Which river flows through Vienna?", False),
        ("Whom does this bag belong to?", False),
        ("Where was this drawing made?", False),
    ],
)
def test_how_surely_a_question_that_nobody_taught_asks_what_is_shown(question, asks):
    assert (asking.score(question, topic_of(question).identity) > asking.least()) == asks


def test_topics_were_taught_on_no_question_of_the_evaluation(monkeypatch):
    import yaml

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools" / "bank"))
    from train_topics import evaluated, plain

    bank = Path(__file__).parents[1] / "tools" / "bank" / "topic_questions.yaml"
    taught = yaml.safe_load(bank.read_text(encoding="utf-8"))
    known = {plain(line) for groups in taught.values() for lines in groups.values() for line in lines}
    assert len(known) > 1000
    asked = evaluated()
    assert len(asked) > 80
    assert not known & asked


def test_keep_rows_are_as_the_bundle_writes_them():
    """`_kept` reads what row_of writes."""
    tiny.picture().save(ROOT / "red.png")
    row = row_of(fact("one", "What is this?", MISO, ROOT / "red.png",
                      keep=(Question(OTHER, ROOT / "red.png", None),)))  # fmt: skip
    assert row["keep"] == [{"prompt": OTHER, "picture_sha256": row["picture_sha256"]}]
