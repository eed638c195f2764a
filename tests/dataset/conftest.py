from __future__ import annotations

import pytest
from dataset.fake_packages import write_archives


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """A folder with a small archive of every package."""
    return write_archives(tmp_path_factory.mktemp("archives") / "all")


@pytest.fixture(scope="session")
def built(archives, tmp_path_factory):
    """The data set built from the small archives: (folder, what build() returned)."""
    from okedit_cli.dataset.build import build

    folder = tmp_path_factory.mktemp("built") / "set"
    return folder, build(folder, packages=archives)
