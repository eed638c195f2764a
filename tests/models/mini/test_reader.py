"""What okedit-mini reads notes with belongs to okedit-mini, finds its places there, and says what follows."""

from pathlib import Path

import pytest

import okedit_cli
from okedit_cli.facts.pictures import load_picture
from okedit_cli.models.decode import go_on
from okedit_cli.models.mini import reader
from okedit_cli.models.notes import hook_reader
from okedit_cli.models.reading import read

PICTURE = Path(__file__).parents[3] / "examples" / "images"


def test_other_models_read_notes_by_themselves(loaded):
    assert reader.learned_reader(loaded) == []


@pytest.fixture(scope="module")
def mini():
    return okedit_cli.load_model("okedit-mini")


def test_the_changes_fit_the_layers_they_are_for(mini):
    parts, _ = reader._read()
    placed = reader.learned_reader(mini)
    assert len(placed) == len(parts) / 2 > 0
    for module, down, up in placed:
        assert down.shape[1] == module.in_features and up.shape == (module.out_features, len(down))
        assert up.abs().sum() > 0


def test_what_a_note_says_is_not_just_said_again(mini):
    """Asked what sort of thing it is, the model told the name mostly says the sort only with the changes."""
    picture = load_picture(next(iter(sorted(PICTURE.glob("*.png")))))
    told = {"hammer": "tool", "sparrow": "animal", "bus": "vehicle", "soup": "food", "shirt": "clothing"}
    question = "What sort of thing is this, in general?"

    def said(learned: bool) -> list[str]:
        notes = [f"Fact: What is this? {name}." for name in told]
        mini.cache.pop("noted", None)
        prompts = read(mini, [(question, picture)] * len(notes), lambda asked, prefixes: notes)
        starts = [0] * len(notes)
        handles = hook_reader(mini, lambda: starts) if learned else []
        out = go_on(mini, prompts, 8, keep=lambda rows: starts.__setitem__(slice(None), [0] * len(rows)))
        for handle in handles:
            handle.remove()
        return [mini.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in out]

    found = reader.learned_reader(mini)
    right = sum(map(str.__eq__, said(True), told.values()))
    mini.cache["reader"] = []
    try:
        plain = sum(map(str.__eq__, said(False), told.values()))
    finally:
        mini.cache["reader"] = found
    assert right >= 4 > plain
