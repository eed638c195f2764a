"""An edit removed leaves no trace: not in rows, not in records, not in pictures."""

from __future__ import annotations

import copy
import hashlib

import pytest
from bundle.factory import make_bundle, same
from bundle.test_merge import bundles, ids, lay
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.bundle import Bundle
from okedit_cli.bundle.merge import MergeConflict, merge
from okedit_cli.bundle.remove import remove
from okedit_cli.bundle.sources import get_sources, put_sources
from okedit_cli.errors import UsageError


def test_the_edit_is_gone_and_the_others_are_as_they_were(tmp_path):
    bundle = make_bundle(4, keys=3)
    left, report = remove(bundle, ["fact-1", "fact-3"])
    assert ids(left) == ["fact-0", "fact-2"] and not report.forgotten
    left.save(tmp_path / "x")
    back = Bundle.load(tmp_path / "x", verify=True)
    for row, old in ((0, 0), (1, 2)):
        for c in ("picture", "question"):
            keys, owner = getattr(back.codebook, f"{c}_keys"), getattr(back.codebook, f"{c}_owner")
            old_keys, old_owner = (
                getattr(bundle.codebook, f"{c}_keys"),
                getattr(bundle.codebook, f"{c}_owner"),
            )
            assert keys[owner == row].tolist() == old_keys[old_owner == old].tolist()
        assert back.codebook.value_up[row].tolist() == bundle.codebook.value_up[old].tolist()
    assert b"fact-1" not in (tmp_path / "x").read_bytes()


def test_removing_all_or_none():
    bundle = make_bundle(2)
    assert same(remove(bundle, [])[0], bundle)
    assert len(remove(bundle, ids(bundle))[0]) == 0


@settings(max_examples=60, deadline=None)
@given(bundles(2), st.data())
def test_removing_in_two_steps_is_removing_at_once(made, data):
    try:
        merged, _ = merge(made, on_conflict="newest")
    except MergeConflict:
        return
    gone = data.draw(st.lists(st.sampled_from(ids(merged)), unique=True)) if len(merged) else []
    step = merged
    for name in gone:
        step = remove(step, [name])[0]
    at_once = remove(merged, gone)[0]
    assert (
        ids(step) == ids(at_once)
        and step.codebook.picture_radius.tolist() == at_once.codebook.picture_radius.tolist()
    )


def test_a_record_goes_with_the_edit_that_caused_it_so_that_the_old_fact_can_return():
    a, b = lay(("a", "Miso", 0.0, 1.0)), lay(("b", "Rex", 0.75, 1.0))
    left, report = remove(merge([a, b])[0], ["b"])
    assert report.forgotten == ["a"] and left.manifest.dropped == [] and left.extras == {}
    assert [(one.answer, one.preferred) for one in report.records] == [("Miso", ("b",))]
    assert ids(merge([left, a])[0]) == ["a"]


def test_a_record_stays_while_another_edit_contradicts_it():
    a, b = lay(("a", "Miso", 0.0, 9.0)), lay(("b", "Rex", 1.0, 1.0), ("c", "Ada", 9.0, 1.0))
    left, report = remove(merge([a, b])[0], ["b"])
    assert report.forgotten == [] and [fact["id"] for fact in left.manifest.dropped] == ["a"]


def test_pictures_nobody_refers_to_go():
    bundle = make_bundle(2)
    for fact, picture in zip(bundle.manifest.facts, (b"cat", b"dog"), strict=True):
        fact["picture_sha256"] = hashlib.sha256(picture).hexdigest()
    put_sources(bundle, [b"cat", b"dog"])
    assert list(get_sources(remove(bundle, ["fact-0"])[0]).values()) == [b"dog"]


def test_an_id_that_is_not_there_is_told_with_the_nearest():
    bundle = make_bundle(2)
    before = copy.deepcopy(bundle)
    with pytest.raises(UsageError, match="no edit 'fact-7'") as caught:
        remove(bundle, ["fact-0", "fact-7"])
    assert "fact-" in caught.value.hint and same(bundle, before)
