"""Bundles as callers of the Python API give them."""

from __future__ import annotations

import pytest
from bundle.factory import make_bundle, same

from okedit_cli.bundle import Bundle, bundles_of
from okedit_cli.errors import InvalidBundle, UsageError


def test_a_bundle_a_path_or_several_of_either(tmp_path):
    bundle, path = make_bundle(2), tmp_path / "x.safetensors"
    bundle.save(path)
    assert bundles_of(bundle) == bundles_of([bundle]) == [bundle] and bundles_of(()) == []
    for given in (path, str(path), [path], (one for one in [str(path)])):
        [found] = bundles_of(given)
        assert isinstance(found, Bundle) and same(found, bundle)
    assert len(bundles_of([bundle, path])) == 2


@pytest.mark.parametrize("given", [3, [3], None, {"a": 1}.items(), [[]]])
def test_what_is_no_bundle_is_told_in_a_sentence(given):
    with pytest.raises(UsageError, match="is no bundle, expected a Bundle, the path of one"):
        bundles_of(given)


def test_a_path_that_is_no_bundle_is_told_by_its_name(tmp_path):
    (tmp_path / "facts.yaml").write_text("version: 1")
    with pytest.raises(InvalidBundle, match="facts.yaml"):
        bundles_of(str(tmp_path / "facts.yaml"))
