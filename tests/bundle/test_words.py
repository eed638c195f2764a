"""Facts as a bundle lists them are the facts that were given."""

from __future__ import annotations

from pathlib import Path

import pytest

from okedit_cli.bundle import Bundle
from okedit_cli.bundle.words import facts_of, row_of
from okedit_cli.errors import InvalidBundle
from okedit_cli.facts import Fact


def test_further_answers_go_into_the_bundle_and_come_back():
    fact = Fact("cat", "Who?", "Miso", accepted=("Miso the cat", "It is Miso"))
    assert facts_of([row_of(fact)], {}, Path(), "b") == [fact]
    assert "accepted" not in row_of(Fact("cat", "Who?", "Miso"))


@pytest.mark.parametrize("answer", ["Miso", "4471-X9-0082"])
@pytest.mark.parametrize("verbatim", [None, True, False])
def test_whether_an_answer_is_held_goes_into_the_bundle_and_comes_back(answer, verbatim):
    row = row_of(Fact("cat", "Who?", answer, verbatim=verbatim))
    held = answer != "Miso" if verbatim is None else verbatim
    assert row.get("verbatim", False) is held
    [back] = facts_of([row], {}, Path(), "b")
    assert row_of(back) == row
    old = {key: value for key, value in row.items() if key != "verbatim"}
    assert facts_of([old], {}, Path(), "b")[0].verbatim is None


@pytest.mark.parametrize("accepted", ["Miso", [5], [""], {"a": "b"}])
def test_further_answers_that_are_no_list_of_texts_are_refused(accepted):
    with pytest.raises(InvalidBundle, match="fact 'cat': accepted is not what okedit writes"):
        facts_of([{"id": "cat", "prompt": "Who?", "answer": "Miso", "accepted": accepted}], {}, Path(), "b")


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path):
    path = tmp_path / "b.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(InvalidBundle, match="this is a Git LFS pointer") as caught:
        Bundle.load(path)
    assert "git lfs pull" in caught.value.hint
