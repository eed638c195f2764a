"""Merging: the laws, what happens to contradictions, and that nothing goes without being named."""

from __future__ import annotations

import copy
import zlib

import numpy as np
import pytest
import torch
from bundle.factory import BASE, make_bundle, make_fact, same
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.bank import load_bank
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.merge import MergeConflict, merge
from okedit_cli.bundle.sources import get_sources, put_sources
from okedit_cli.errors import InvalidBundle, ModelMismatch, UsageError
from okedit_cli.methods.stacking import stack_views
from okedit_cli.scope.views import encode_view

INF = float("inf")


def kept_small(bundle: Bundle, row: int, picture: int) -> None:
    """Make an edit one about a single picture, and give it that picture, of the bank's; of 0 none."""
    if picture:
        data = encode_view(np.asarray(load_bank().pictures[10 * picture].image))
        book = bundle.codebook
        book.thumbnails, owner = stack_views([[data]])
        book.thumbnail_owner = owner + row
        bundle.manifest.facts[row]["reach"] = "picture"


def lay(*edits: tuple, seed: int = 0) -> Bundle:
    """Edits (id, answer, place of the picture key, picture radius[, prompt]); question keys at 0."""
    bundle = make_bundle(len(edits), keys=1, seed=seed)
    book = bundle.codebook
    book.picture_keys, book.question_keys = torch.zeros(len(edits), 4), torch.zeros(len(edits), 3)
    for row, (name, answer, place, radius, *prompt) in enumerate(edits):
        bundle.manifest.facts[row] = {
            **make_fact(f"{answer} {place}", answer),
            "id": name,
            "prompt": prompt[0] if prompt else "What is it?",
        }
        book.picture_keys[row, 0], book.picture_radius[row] = place, radius
        book.question_radius[row] = 1.0
        generator = torch.Generator().manual_seed(zlib.crc32(repr((place, radius, answer)).encode()))
        for tensor in (book.value_down, book.value_up, book.value_bias):
            tensor[row] = torch.randn(tensor[row].shape, generator=generator)
    return bundle


def ids(bundle: Bundle) -> list[str]:
    return [fact["id"] for fact in bundle.manifest.facts]


EDIT = st.tuples(
    st.sampled_from(["x", "y", "x-2"]), st.sampled_from(["Miso", "miso.", "Rex", "Ada"]), st.integers(-6, 6),
    st.sampled_from([0.25, 1.0, 2.5, INF]),
)  # fmt: skip


@st.composite
def bundles(draw, count: int):
    """Bundles over a shared pool of edits: duplicates and conflicts are common, ids are unique in each."""
    pool = draw(st.lists(EDIT, min_size=1, max_size=6, unique_by=lambda e: e[1:]))
    out = []
    for _ in range(count):
        chosen = draw(
            st.lists(st.sampled_from(pool), max_size=4, unique_by=(lambda e: e[0], lambda e: e[1:]))
        )
        out.append(lay(*chosen))
    return out


POLICIES = st.sampled_from(["newest", "first", "error"])


def attempt(*parts, on_conflict):
    """The merged bundle, or the word for a refusal; a part that was refused refuses the whole."""
    if any(isinstance(part, str) for part in parts):
        return "refused"
    try:
        return merge(parts, on_conflict=on_conflict)[0]
    except MergeConflict:
        return "refused"


def equal(one, other) -> bool:
    return one == other if isinstance(one, str) or isinstance(other, str) else same(one, other)


@settings(max_examples=150, deadline=None)
@given(bundles(1), POLICIES)
def test_a_bundle_merged_alone_or_with_itself_is_itself(made, policy):
    (a,) = made
    assert same(merge([a], on_conflict=policy)[0], a)
    assert same(merge([a, copy.deepcopy(a)], on_conflict=policy)[0], a)


@settings(max_examples=300, deadline=None)
@given(bundles(3), POLICIES)
def test_merging_is_associative(made, policy):
    a, b, c = made
    left = attempt(attempt(a, b, on_conflict=policy), c, on_conflict=policy)
    right = attempt(a, attempt(b, c, on_conflict=policy), on_conflict=policy)
    whole = attempt(a, b, c, on_conflict=policy)
    for nested in (
        left,
        right,
    ):  # a refusal half way stands, even where the third bundle would have settled it
        assert equal(nested, whole) or (nested == "refused" and policy == "error")


@settings(max_examples=60, deadline=None)
@given(bundles(2), POLICIES)
def test_merging_a_merged_bundle_with_itself_changes_nothing(made, policy):
    both = attempt(*made, on_conflict=policy)
    if not isinstance(both, str):
        assert same(merge([both, copy.deepcopy(both)], on_conflict=policy)[0], both)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), unique=True, min_size=1, max_size=6), st.integers(0, 5), POLICIES)
def test_the_order_of_disjoint_bundles_does_not_matter(places, cut, policy):
    edits = [(f"e{place}", f"answer {place}", 10.0 * place, 1.0) for place in places]
    a, b = lay(*edits[:cut]), lay(*edits[cut:])
    one, report = merge([a, b], on_conflict=policy)
    other, _ = merge([b, a], on_conflict=policy)
    assert _as_set(one) == _as_set(other) and len(one) == len(edits)
    assert not (report.conflicts or report.duplicates or report.renamed or report.dropped)


def _as_set(bundle: Bundle) -> set:
    book = bundle.codebook
    return {
        (fact["id"], fact["answer"], float(book.picture_radius[row]), tuple(book.value_bias[row].tolist()),
         tuple(map(tuple, book.picture_keys[book.picture_owner == row].tolist())))
        for row, fact in enumerate(bundle.manifest.facts)
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(bundles(3), POLICIES)
def test_nothing_goes_without_being_named(made, policy):
    try:
        merged, report = merge(made, on_conflict=policy)
    except MergeConflict:
        return
    given_ids = [name for bundle in made for name in ids(bundle)]
    gone = [name for name, _ in report.duplicates] + report.dropped
    was = {new: old for old, new in report.renamed}
    left = [was.get(name, name) for name in ids(merged)]
    assert sorted(left + gone) == sorted(given_ids)
    assert len(merged.manifest.dropped) == len(report.dropped)
    told = {name for conflict in report.conflicts for name in (conflict.first, conflict.second)}
    assert set(report.dropped) <= told


@settings(max_examples=100, deadline=None)
@given(bundles(2), st.sampled_from(["newest", "first"]))
def test_no_contradiction_between_bundles_is_left(made, policy):
    merged = attempt(*made, on_conflict=policy)
    if isinstance(merged, str):
        return
    alone = [attempt(bundle, lay(), on_conflict=policy) for bundle in made]
    assert _contradictions(merged) <= set().union(*map(_contradictions, alone))


def _contradictions(bundle: Bundle) -> set:
    book, out = bundle.codebook, set()
    for i, one in enumerate(bundle.manifest.facts):
        for j, other in enumerate(bundle.manifest.facts):
            if torch.isinf(book.picture_radius[i]) != torch.isinf(book.picture_radius[j]):
                continue  # a fact about a picture and one in words do not exclude each other
            distance = abs(float(book.picture_keys[i, 0] - book.picture_keys[j, 0]))
            if i != j and distance <= float(torch.maximum(book.picture_radius[i], book.picture_radius[j])):
                if one["answer"].lower().strip(".") != other["answer"].lower().strip("."):
                    out.add(
                        (
                            float(book.picture_keys[i, 0]),
                            one["answer"],
                            float(book.picture_keys[j, 0]),
                            other["answer"],
                        )
                    )
    return out


def test_the_newest_or_the_first_wins_and_the_table_says_so():
    a, b = lay(("cat", "Miso", 0.0, 1.0)), lay(("cat", "Rex", 0.75, 1.0))
    merged, report = merge([a, b], on_conflict="newest")
    assert [(fact["id"], fact["answer"]) for fact in merged.manifest.facts] == [("cat", "Rex")]
    assert report.dropped == ["cat"] and merged.manifest.dropped[0]["answer"] == "Miso" and report.total == 1
    (told,) = report.conflicts
    assert told.answers == ("Miso", "Rex") and told.distances == (0.75, 0.0)
    assert told.radii == ((1.0, 1.0), (1.0, 1.0)) and told.action == "kept cat"
    merged, _ = merge([a, b], on_conflict="first")
    assert merged.manifest.facts[0]["answer"] == "Miso"


def test_error_refuses_and_names_both():
    with pytest.raises(MergeConflict, match="1 pairs.*'a'.*Miso.*'b'.*Rex") as caught:
        merge([lay(("a", "Miso", 0.0, 1.0)), lay(("b", "Rex", 0.75, 1.0))], on_conflict="error")
    assert caught.value.report.total == 1 and caught.value.hint


def test_answers_that_say_the_same_do_not_conflict_nor_pictures_that_are_far_apart():
    merged, report = merge(
        [lay(("a", "Miso", 0.0, 1.0)), lay(("b", " miso. ", 0.5, 1.0), ("c", "Rex", 2.5, 1.0))]
    )
    assert ids(merged) == ["a", "b", "c"] and report.total == 0


def test_scopes_conflict_where_one_holds_the_others_key():
    """That they overlap is none: between two keys the nearer one wins."""
    _, report = merge([lay(("a", "Miso", 0.0, 1.0)), lay(("b", "Rex", 1.5, 1.0))])
    assert report.total == 0
    for radii in ((2.0, 0.25), (0.25, 2.0)):
        one, other = (
            lay((name, answer, place, radius))
            for name, answer, place, radius in zip("ab", ("Miso", "Rex"), (0.0, 1.5), radii, strict=True)
        )
        assert merge([one, other])[1].total == 1


def test_a_fact_about_a_picture_and_one_in_words_do_not_exclude_each_other():
    words = lay(("text", "Yes", 0.0, INF))
    merged, report = merge([words, lay(("b", "Rex", 0.0, 0.5))])
    assert ids(merged) == ["text", "b"] and report.total == 0


def test_facts_in_words_conflict_where_one_asks_for_what_the_other_does():
    def told(name, answer, prompt):
        return lay((name, answer, 0.0, INF, prompt))

    capital = told("a", "Paris", "What is the capital of France?")
    for prompt, conflicts in (
        ("Which city is the capital of France?", 1),
        ("What is the capital of Spain?", 0),
        ("What is the currency of France?", 0),
    ):
        merged, report = merge([capital, told("b", "Lyon", prompt)])
        assert report.total == conflicts and len(merged) == 2 - conflicts


def test_equal_ids_are_told_apart_and_duplicates_kept_once():
    merged, report = merge(
        [lay(("x", "Miso", 0.0, 1.0), ("x-2", "Ada", 50.0, 1.0)), lay(("x", "Rex", 9.0, 1.0))]
    )
    assert ids(merged) == ["x", "x-2", "x-3"] and report.renamed == [("x", "x-3")]
    assert merged.manifest.facts[2]["renamed_from"] == "x"
    merged, report = merge([lay(("x", "Miso", 0.0, 1.0)), lay(("y", "Miso", 0.0, 1.0))])
    assert ids(merged) == ["y"] and report.duplicates == [("x", "y")]


def test_ranks_and_dtypes_are_widened_without_rounding(tmp_path):
    a, b = make_bundle(2, rank=1, dtype=torch.float16, prefix="a"), make_bundle(2, rank=3, seed=9, prefix="b")
    for name in ("picture_mean", "picture_projection", "question_mean", "question_projection"):
        setattr(b.codebook, name, getattr(a.codebook, name))
    for bundle, place in ((a, 0), (b, 100)):
        bundle.codebook.picture_keys += place
    merged, _ = merge([a, b])
    assert merged.codebook.value_down.shape == (4, 3, 8) and merged.codebook.value_down.dtype == torch.float32
    assert torch.equal(merged.codebook.value_up[:2, :1], a.codebook.value_up.float())
    assert not merged.codebook.value_up[:2, 1:].any() and torch.equal(
        merged.codebook.value_up[2:], b.codebook.value_up
    )
    merged.save(tmp_path / "x")
    assert same(Bundle.load(tmp_path / "x", verify=True), merged)
    merge([a, b], lazy=True)[0].save(tmp_path / "y")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_a_merged_bundle_with_records_survives_the_disk(tmp_path):
    merged, _ = merge([lay(("a", "Miso", 0.0, 1.0)), lay(("b", "Rex", 0.75, 1.0))])
    merged.save(tmp_path / "x")
    back = Bundle.load(tmp_path / "x", verify=True)
    assert same(back, merged) and back.manifest.unknown == []
    again, report = merge([back, lay(("c", "Ada", 0.5, 1.0))])
    assert ids(again) == ["c"] and len(again.manifest.dropped) == 2


@pytest.mark.parametrize("spoil", [
    lambda b: b.extras.pop("dropped_picture_keys"), lambda b: b.extras["dropped_question_owner"].fill_(7),
    lambda b: b.extras.update(dropped_picture_keys=torch.zeros(1, 9)),
    lambda b: b.extras.update(dropped_question_owner=torch.zeros(3, dtype=torch.int64)),
    lambda b: b.extras.update(dropped_picture_radius=torch.ones(1, 1)),
    lambda b: [b.extras.pop(name) for name in list(b.extras)],
])  # fmt: skip
def test_records_that_are_not_whole_are_refused(tmp_path, monkeypatch, spoil):
    merged, _ = merge([lay(("a", "Miso", 0.0, 1.0)), lay(("b", "Rex", 0.75, 1.0))])
    spoil(merged)
    monkeypatch.setattr("okedit_cli.bundle.bundle.check_records", lambda *_: None)
    merged.save(tmp_path / "x")
    monkeypatch.undo()
    with pytest.raises(InvalidBundle, match="not what a merge writes"):
        Bundle.load(tmp_path / "x")


def test_pictures_come_along_once():
    a, b = lay(("a", "Miso", 0.0, 1.0)), lay(("b", "Rex", 50.0, 1.0))
    put_sources(a, [b"cat", b"dog"])
    put_sources(b, [b"dog", b"owl"])
    merged, _ = merge([a, b])
    assert sorted(get_sources(merged).values()) == [b"cat", b"dog", b"owl"]


@pytest.mark.parametrize("spoil, words", [
    (lambda b: b.manifest.base.update(weights="f" * 64), "weights was a{12} in one, f{12} in the other"),
    (lambda b: b.manifest.base.update(architecture="GPT2"), "architecture was Llava.*GPT2"),
    (lambda b: b.manifest.site.update(value_layer=7), "site.s value_layer is 2 in one and 7 in"),
    (lambda b: setattr(b.manifest, "method", "grace"), "method is balancedit in one and grace"),
    (lambda b: b.codebook.question_mean.add_(1), "different spaces .question_mean"),
])  # fmt: skip
def test_what_does_not_belong_together(spoil, words):
    other = make_bundle(seed=3)
    other.manifest.base = dict(BASE)
    spoil(other)
    with pytest.raises(ModelMismatch, match=f"A and B cannot be merged.*{words}"):
        merge([make_bundle(), other], names=["A", "B"])


def test_what_is_no_merge():
    for arguments in (([],), ([make_bundle()], "oldest")):
        with pytest.raises(UsageError):
            merge(arguments[0], on_conflict=(arguments[1:] or ("newest",))[0])


def one_picture(name, answer, picture) -> Bundle:
    """An edit about one picture."""
    bundle = lay((name, answer, 0, 1.0))
    kept_small(bundle, 0, picture)
    return bundle


@pytest.mark.parametrize("policy", ["newest", "first", "error"])
def test_facts_about_two_pictures_that_are_no_views_of_each_other_do_not_conflict(policy):
    """However near they lie; the same picture with two answers does."""
    both, report = merge([one_picture("x", "Miso", 1), one_picture("x", "Rex", 2)], on_conflict=policy)
    assert len(both) == 2 and not report.conflicts
    assert both.codebook.thumbnail_owner.tolist() == [0, 1] and len(both.codebook.thumbnails) == 2
    for pictures in ((1, 1), (1, 0), (0, 2), (0, 0)):
        pair = [one_picture("x", answer, n) for answer, n in zip(("Miso", "Rex"), pictures, strict=True)]
        if policy == "error":
            with pytest.raises(MergeConflict):
                merge(pair, on_conflict=policy)
        else:
            assert len(merge(pair, on_conflict=policy)[0]) == 1


def test_a_dropped_picture_still_contradicts_none_but_its_own(tmp_path):
    once = merge([one_picture("a", "Miso", 1), one_picture("b", "Rex", 1)], on_conflict="newest")[0]
    once.save(tmp_path / "once")
    once = Bundle.load(tmp_path / "once", verify=True)
    assert len(once) == 1 and len(once.extras["dropped_thumbnails"]) == 1
    twice, report = merge([one_picture("c", "Ada", 2), once], on_conflict="newest")
    assert len(twice) == 2 and not report.conflicts
    assert merge([one_picture("d", "Ada", 1), once], on_conflict="newest")[1].dropped == ["d"]
    from okedit_cli.bundle.remove import remove

    assert "dropped_thumbnails" not in remove(once, ["b"])[0].extras
