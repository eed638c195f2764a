"""What holds for every test: no network, and no deadline on properties because a loaded machine is slow."""

import os

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # processes beside each other: a core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile(
    "okedit", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("okedit")


@pytest.fixture(scope="module")
def small_world():
    """A small bank and a home of our own, for a module's tests: `usefixtures("small_world")`."""
    from fitted import world

    with world():
        yield
