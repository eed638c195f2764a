"""Questions in words that name whom an edit is about: judged by more than their distance as they stand."""

from dataclasses import replace

import pytest
import torch
from fitted import WORDS, fitted, forget, letters, with_fact, with_radius, world
from hypothesis import given
from hypothesis import strategies as st

import okedit_cli
from okedit_cli.asked import Asked
from okedit_cli.generate import decide
from okedit_cli.models.features import QUESTIONS, question_feature
from okedit_cli.models.question import question_ids
from okedit_cli.models.sentences import relation_radius
from okedit_cli.named import STAND_IN, Names, of_whom, relation_distance
from okedit_cli.naming import gives_name, named_as

WORD = st.sampled_from(["Ann", "Lee", "Peru", "Acme", "Inc", "of", "the", "Ängel", "who", "is", "UN", "747"])
FAMILY = "llama"  # whose questions are read by the question encoder
OTHER = "What is the capital of France called?"


@pytest.mark.parametrize(
    ("text", "name", "stretch"),
    [
        ("Where does George Enescu live?", "George Enescu", "George Enescu"),
        ("where does GEORGE ENESCU live?", "George Enescu", "GEORGE ENESCU"),
        ("Enescu's town is", "George Enescu", "Enescu"),
        ("where does enescu live?", "George Enescu", "enescu"),
        ("Acme was founded in", "Acme Inc.", "Acme"),
        ("Where does Ion Enescu live?", "George Enescu", None),
        ("The Israel Museum is in", "Israel", None),
    ],
)
def test_the_stretch_that_names_somebody(text, name, stretch):
    assert named_as(text, name) == stretch


@given(
    st.lists(st.lists(WORD, max_size=3).map(" ".join), max_size=5), st.lists(WORD, max_size=6).map(" ".join)
)
def test_nobody_who_is_named_is_overlooked(names, text):
    facts = [{"whom": name} if name else {} for name in names]
    near = Names(facts).near(text)
    assert near == sorted(set(near))
    assert {row for row, name in enumerate(names) if name and gives_name(text, name)} <= set(near)


def asked(bundle, text, strictness=0.5, picture=None):
    loaded = fitted(FAMILY).loaded
    feature = question_feature(loaded, question_ids(loaded, text), QUESTIONS)
    return Asked(loaded, [bundle], [strictness], question_ids(loaded, text), lambda ids: [feature], picture)


def apart(one, other):
    """The distance of two texts in the bundle's space."""
    loaded, book = fitted(FAMILY).loaded, fitted(FAMILY).bundle.codebook
    a, b = (
        book.project_question(question_feature(loaded, question_ids(loaded, t), QUESTIONS))
        for t in (one, other)
    )
    return float((a - b).norm())


@pytest.fixture
def bundle():
    """Of a fact about France whose only key is its own prompt, in a small world."""
    found = fitted(FAMILY)
    assert found.bundle.manifest.site["key_layer"] == QUESTIONS
    with world():
        forget(found.loaded)
        book = found.bundle.codebook
        feature = question_feature(found.loaded, question_ids(found.loaded, WORDS), QUESTIONS)
        own = {"question_keys": book.project_question(feature)[None].repeat(len(book), 1)}
        one = replace(book, **own, question_owner=torch.arange(len(book)))
        yield with_fact(replace(found.bundle, codebook=one), "capital", whom="France")


def without_the_name(text, own, name="France"):
    """The distance of two texts in the relation encoder, the name taken out."""
    a, b = letters([t.replace(name, STAND_IN) for t in (text, own)])
    return float((a - b).norm())


def test_the_name_is_taken_out_beyond_the_radius(bundle):
    far = apart(OTHER, WORDS)
    [near] = of_whom(asked(with_radius(bundle, far * 1.01), OTHER))
    assert near.question_distance == pytest.approx(far) and near.match.fires
    for radius in (far * 0.99, far / 10):
        [found] = of_whom(asked(with_radius(bundle, radius), OTHER))
        assert found.edit_id == "capital" and found.question_radius == pytest.approx(radius)
        assert found.match.reach == pytest.approx(without_the_name(OTHER, WORDS) / relation_radius())


def test_within_the_radius_what_asks_for_something_else_passes(bundle, monkeypatch):
    wide, asks = with_radius(bundle, apart(OTHER, WORDS) * 2), without_the_name(OTHER, WORDS)
    for border, reach in ((asks * 1.01, 0.5), (asks / 2, 2.0)):
        monkeypatch.setattr("okedit_cli.named.relation_border", lambda border=border: border)
        [found] = of_whom(asked(wide, OTHER))
        assert found.match.reach == pytest.approx(reach) and found.match.fires == (reach < 1)
    [own] = of_whom(asked(wide, WORDS))
    assert own.match.fires and own.question_distance == pytest.approx(0, abs=1e-3)
    # neither does what is nearer to what the owner keeps
    kept = with_fact(wide, "capital", whom="France", keep=[{"prompt": OTHER}])
    monkeypatch.setattr("okedit_cli.named.relation_border", lambda: 2.0)
    [found] = of_whom(asked(kept, OTHER))
    assert not found.match.fires


def test_of_the_fact_s_own_wordings_the_nearest_counts(bundle):
    fact = {"whom": "France", "prompt": WORDS, "rephrases": ["Of France the capital is", "Where is it?"]}
    wanted = min(without_the_name(OTHER, WORDS), without_the_name(OTHER, "Of France the capital is"))
    assert relation_distance(OTHER, fact) == pytest.approx(wanted)
    assert relation_distance("Which is the capital of FRANCE?", fact) > 0
    assert relation_distance(WORDS, fact) == 0


def test_what_is_nearer_to_what_the_owner_keeps_is_not_answered(bundle):
    fact = {
        "whom": "France",
        "prompt": WORDS,
        "keep": [{"prompt": "What is the capital of France named?"}, "?"],
    }
    assert relation_distance(WORDS, fact) == 0
    assert relation_distance("What is the capital of France named?", fact) == float("inf")
    assert relation_distance("Say what is the capital of France named.", fact) == float("inf")
    assert relation_distance(OTHER, {**fact, "keep": [{"prompt": "What is the capital of Spain named?"}]}) < 1


def test_strictness_scales_what_is_judged(bundle):
    bundle = with_radius(bundle, apart(OTHER, WORDS) / 10)
    strict, fitted_, loose = (of_whom(asked(bundle, OTHER, value))[0] for value in (1.0, 0.5, 0.0))
    assert strict.match.reach == pytest.approx(2 * fitted_.match.reach)
    assert loose.match.reach == pytest.approx(fitted_.match.reach / 1.5)


def test_only_who_is_named_in_words_is_judged_so(bundle):
    assert of_whom(asked(bundle, "What is the capital of Spain?")) == []
    assert of_whom(asked(with_fact(bundle, "capital", whom=""), WORDS)) == []
    show = with_fact(bundle, "capital", whom="The France Show")
    named = ["who was on the france show?", "Who was on the France Show?", "Who was on the Show?"]
    assert [len(of_whom(asked(show, text))) for text in (*named, "what was on the tv show?")] == [1, 1, 1, 0]
    assert of_whom(asked(bundle, WORDS, picture=torch.zeros(3))) == []
    layers = replace(bundle, manifest=replace(bundle.manifest, site={**bundle.manifest.site, "key_layer": 1}))
    assert of_whom(asked(layers, WORDS)) == []


@pytest.mark.parametrize(("radius", "hit"), [(2.0, "capital"), (1e-3, None)])
def test_who_is_named_answers_as_far_as_what_is_asked_reaches(bundle, monkeypatch, radius, hit):
    loaded = fitted(FAMILY).loaded
    monkeypatch.setattr("okedit_cli.named.relation_radius", lambda: radius)
    small = with_radius(bundle, apart(OTHER, WORDS) / 10)
    with okedit_cli.attach(loaded, [small]):
        questions = [OTHER, WORDS, "What is the capital of Peru?"]
        near, own, strange = decide(loaded, [(question, None) for question in questions])
    assert (near.hit and near.hit.edit_id) == hit and own.hit.edit_id == "capital"
    assert strange.hit is None or strange.hit.edit_id != "capital"


def test_of_two_edits_about_one_the_one_that_is_asked_answers(bundle):
    """However near the other's key lies."""
    facts = [dict(row, whom="France", prompt=prompt) for row, prompt in zip(
        bundle.manifest.facts, ("How many people live in France?", WORDS), strict=True)]  # fmt: skip
    both = replace(bundle, manifest=replace(bundle.manifest, facts=facts))
    loaded = fitted(FAMILY).loaded
    with okedit_cli.attach(loaded, [with_radius(both, apart(OTHER, WORDS) / 10)]):
        decisions = decide(loaded, [(OTHER, None), ("How many people do live in France?", None)])
    assert [one.hit and one.hit.edit_id for one in decisions] == [facts[1]["id"], facts[0]["id"]]
