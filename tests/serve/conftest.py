"""A server of a tiny model with one bundle; its model and bundle are made once a run."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

from fitted import fitted  # noqa: E402
from serving import serving_model  # noqa: E402


@pytest.fixture(scope="module")
def client():
    with serving_model("llava", ("facts", fitted("llava").bundle)) as found:
        yield found
