"""What okedit says of a model before anything is edited."""

import json

import pytest
import tiny
from cli.shipping import okedit

from okedit_cli.models.describe import describe


def test_what_is_found_in_every_family(loaded):
    found = json.loads(json.dumps(describe(loaded)))
    assert found["class"] == type(loaded.model).__name__ and found["layers"] == tiny.LAYERS
    assert found["width"] == tiny.WIDTH
    pictured = loaded.processor is not None
    assert (found["picture_tokens"] is not None) == pictured == (found["pictures"] is not None)
    assert found["cost"]["bytes_a_prompt"] <= found["cost"]["bytes_at_once"]
    assert any("text-only" in one for one in found["limits"]) == (not pictured)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_doctor_of_a_model(tmp_path, more):
    folder = tiny.build("llava", tmp_path / "model")
    result = okedit("doctor", "-m", str(folder), *more)
    assert result.exit_code == 0 and "LlavaForConditionalGeneration" in result.stdout
    assert not more or json.loads(result.stdout)["picture_tokens"] == 4
