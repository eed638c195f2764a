"""What the classifier is trained on stands apart from what judges it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

TOOLS = Path(__file__).parents[2] / "tools"


def strings(found) -> Iterator[str]:
    """Every text in a YAML tree, lower case."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from strings(one)
    elif isinstance(found, str):
        yield found.lower()


def texts(folder: Path) -> set[str]:
    return {
        text for path in folder.glob("*.yaml") for text in strings(yaml.safe_load(path.read_text("utf-8")))
    }


def test_no_long_text_of_the_blind_sets_is_trained_on():
    # short ones such as "When was this church built?" are anybody's
    judging = {text for text in texts(TOOLS / "bench" / "sets") if len(text.split()) > 6}
    assert len(judging) > 1000
    assert not judging & texts(TOOLS / "scope" / "texts")


@pytest.mark.parametrize(
    "name", ["relation_wordings", "relation_texts", "relation_more_people", "relation_more_things"]
)
def test_each_wording_of_a_relation_names_its_subject_once(name):
    found = yaml.safe_load((TOOLS / "scope" / "texts" / f"{name}.yaml").read_text("utf-8"))
    for part in found.values():
        wordings = [wording for relation in part for wording in relation["wordings"]]
        assert len(set(wordings)) == len(wordings) and all(one.count("{s}") == 1 for one in wordings)
