"""Tiny checkpoints, built once a session, and opened once a session for tests that change nothing."""

import pytest
import tiny


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: tiny.build(family, root / family) for family in tiny.FAMILIES}


@pytest.fixture(scope="session")
def opened(folders):
    from okedit_cli.models.load import load_model

    return {family: load_model(str(folder)) for family, folder in folders.items()}


@pytest.fixture(params=tiny.FAMILIES)
def loaded(request, opened):
    """Each family in turn."""
    return opened[request.param]
