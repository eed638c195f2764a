"""Shards of a fact file, fitted one by one and merged: the bundle of one run, byte by byte."""

from __future__ import annotations

import warnings

import fitted
import pytest
import torch
from scale.facts import written

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.manifest import BundleWarning
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.remove import remove
from okedit_cli.bundle.shards import part_of
from okedit_cli.errors import ModelMismatch, UsageError


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return okedit_cli.load_facts(written(tmp_path_factory.mktemp("facts"))).facts


@pytest.fixture(scope="module", params=["llava", "gpt2"])
def made(request, facts, tmp_path_factory):
    """A family's whole bundle and its shards of 4, as files, each of a model that was opened anew."""
    folder, family = tmp_path_factory.mktemp("shards"), request.param
    facts = [fact for fact in facts if fact.image is None or family != "gpt2"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, shard in (("whole", None), *((f"shard-{n}", (n, 4)) for n in range(1, 5))):
        result = fitted.fit(fitted.load(family), facts, shard=shard, checked=family == "llava")
        result.bundle.save(folder / f"{name}.safetensors")
    torch.set_num_threads(threads)
    return folder


def shards(made, *numbers):
    return [Bundle.load(made / f"shard-{n}.safetensors") for n in numbers]


def test_all_shards_merged_are_the_whole_byte_by_byte(made, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", BundleWarning)
        merged, report = merge(shards(made, 1, 2, 3, 4), lazy=True)
    merged.save(tmp_path / "merged.safetensors")
    whole = made / "whole.safetensors"
    assert (tmp_path / "merged.safetensors").read_bytes() == whole.read_bytes()
    assert not (report.conflicts or report.duplicates or report.renamed or report.dropped)


def test_the_order_of_shards_and_merging_by_steps_change_nothing(made, tmp_path):
    with pytest.warns(BundleWarning, match="2 of 4 shards are missing: 1, 3"):
        some, _ = merge(shards(made, 4, 2))
    some.save(tmp_path / "some.safetensors")
    with pytest.warns(BundleWarning, match="1 of 4 shards are missing: 3"):
        more, _ = merge([Bundle.load(tmp_path / "some.safetensors"), *shards(made, 1, 2)])
    merged, _ = merge([*shards(made, 3), more])
    merged.save(tmp_path / "merged.safetensors")
    assert (tmp_path / "merged.safetensors").read_bytes() == (made / "whole.safetensors").read_bytes()


def test_a_lone_shard_says_what_it_lacks(made):
    with pytest.warns(BundleWarning, match="3 of 4 shards are missing"):
        merge(shards(made, 1))


def test_a_shard_with_an_edit_taken_out_is_none_any_more(made):
    [shard] = shards(made, 4)
    left, _ = remove(shard, [shard.manifest.facts[0]["id"]])
    assert shard.manifest.shard and not left.manifest.shard


def test_shards_measured_in_other_spaces_are_refused(made):
    one, other = shards(made, 1, 4)
    if not len(one.codebook.picture_mean):
        pytest.skip("a text model has no picture space")
    other.codebook.picture_projection = -other.codebook.picture_projection
    with pytest.raises(ModelMismatch, match="different spaces"):
        merge([one, other])


def test_a_shard_field_of_a_stranger_is_left_aside(made):
    one, other = shards(made, 1, 2)
    one.manifest.shard = {"of": "x", "shards": 10**9, "parts": [[1, 1]]}
    other.manifest.shard = {"of": "x", "shards": 10**9, "parts": [["2", True]]}
    assert len(merge([one, other])[0]) == len(one) + len(other)


@pytest.mark.parametrize("method", ["memit", "grace", "lora", "serac"])
def test_methods_that_compute_all_together_refuse(facts, method):
    with pytest.raises(UsageError, match="cannot be shared out"):
        okedit_cli.fit(fitted.load("llava"), facts, method=method, shard=(1, 2))


def test_parts_cover_everything_once():
    for count in (0, 1, 5, 12):
        for shards in (1, 3, 8):
            rows = [row for index in range(1, shards + 1) for row in part_of(count, (index, shards))]
            assert rows == list(range(count))
    with pytest.raises(UsageError, match="no shard 9 of 8"):
        part_of(10, (9, 8))
