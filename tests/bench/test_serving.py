"""The bench on a server asks of what it says: bundles of any number of edits, of which the first are real."""

import pytest
import torch

pytest.importorskip("httpx", reason="httpx is not installed")

from bundle.factory import make_bundle  # noqa: E402

from okedit_cli.bundle import Bundle  # noqa: E402
from tools.bench.serving import many  # noqa: E402


@pytest.mark.parametrize("count", [1, 3, 100])
def test_a_bundle_of_many_edits_begins_with_those_it_was_made_of(count, tmp_path):
    bundle = make_bundle(3)
    large = many(bundle, count)
    large.save(tmp_path / "large.safetensors")
    found = Bundle.load(tmp_path / "large.safetensors", verify=True)
    assert len(found) == count and len({fact["id"] for fact in found.manifest.facts}) == count
    for name in ("question_keys", "picture_keys"):
        old, new = getattr(bundle.codebook, name), getattr(found.codebook, name)
        shared = min(len(old), len(new))
        assert torch.equal(old[:shared], new[:shared])
        assert {*getattr(found.codebook, name.replace("keys", "owner")).tolist()} == {*range(count)}
