"""Questions in words that name whom an edit is about: judged by more than their distance as they stand."""

from dataclasses import replace

import pytest
import torch
from fitted import WORDS, fitted, forget, with_fact, with_radius, world
from hypothesis import given
from hypothesis import strategies as st

import okedit_cli
from okedit_cli.asked import Asked
from okedit_cli.generate import decide
from okedit_cli.models.features import QUESTIONS, question_feature
from okedit_cli.models.question import question_ids
from okedit_cli.named import CLEARLY, MEAN, STAND_INS, Names, of_whom
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
def bundle(monkeypatch):
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


def test_the_distance_is_a_mean_with_others_in_the_names_place(bundle):
    three = [
        apart(OTHER, WORDS),
        *(apart(*(t.replace("France", o) for t in (OTHER, WORDS))) for o in STAND_INS),
    ]
    for radius in (three[0] * 0.99, three[0] / CLEARLY * 0.99):
        [found] = of_whom(asked(with_radius(bundle, radius), OTHER))
        assert found.edit_id == "capital" and found.question_radius == pytest.approx(radius)
        assert found.question_distance == pytest.approx(sum(three) / 3 / MEAN)
    for radius in (three[0] / CLEARLY * 1.01, three[0] / 10):  # clearly near, and too far for any mean
        [found] = of_whom(asked(with_radius(bundle, radius), OTHER))
        assert found.question_distance == pytest.approx(three[0])


def test_the_fact_s_own_wordings_are_compared(bundle):
    radius = apart(OTHER, WORDS) * 0.99
    own = with_fact(with_radius(bundle, radius), "capital", rephrases=["The capital of France is", OTHER])
    [found] = of_whom(asked(own, OTHER))
    assert found.question_distance == pytest.approx(apart(OTHER, WORDS) / 3 / MEAN)
    assert found.match.fires


def test_strictness_scales_what_is_judged(bundle):
    bundle = with_radius(bundle, apart(OTHER, WORDS) * 0.99)
    strict, loose = (of_whom(asked(bundle, OTHER, strictness))[0] for strictness in (1.0, 0.0))
    assert strict.question_radius == pytest.approx(loose.question_radius / 3)


def test_only_who_is_named_in_words_is_judged_so(bundle):
    assert of_whom(asked(bundle, "What is the capital of Spain?")) == []
    assert of_whom(asked(with_fact(bundle, "capital", whom=""), WORDS)) == []
    assert of_whom(asked(bundle, WORDS, picture=torch.zeros(3))) == []
    layers = replace(bundle, manifest=replace(bundle.manifest, site={**bundle.manifest.site, "key_layer": 1}))
    assert of_whom(asked(layers, WORDS)) == []


def test_who_is_named_answers_first_and_a_mean_beyond_does_not(bundle):
    far = apart(OTHER, WORDS)
    loaded = fitted(FAMILY).loaded
    for radius, hit in ((far * 2, "capital"), (far / 4, None)):
        with okedit_cli.attach(loaded, [with_radius(bundle, radius)]):
            near, own, strange = decide(
                loaded, [(OTHER, None), (WORDS, None), ("What is the capital of Peru?", None)]
            )
        assert (near.hit and near.hit.edit_id) == hit and own.hit.edit_id == "capital"
        assert strange.hit is None or strange.hit.edit_id != "capital"
        assert near.nearest.edit_id == "capital"


def test_what_is_kept_is_not_let_in_by_the_mean(bundle):
    radius, loaded = apart(OTHER, WORDS) * 0.99, fitted(FAMILY).loaded
    own = with_fact(with_radius(bundle, radius), "capital", rephrases=[OTHER])
    keeping = with_fact(own, "capital", keep=[{"prompt": OTHER, "picture_sha256": None}])
    hits = []
    for one in (own, keeping):
        with okedit_cli.attach(loaded, [one]):
            hits.append(decide(loaded, [(OTHER, None)])[0].hit)
    assert hits[0] is not None and hits[0].edit_id == "capital"
    assert hits[1] is None or hits[1].edit_id != "capital"
