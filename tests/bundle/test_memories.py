"""Text memories taken apart and put together: merge, remove, append."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from okedit_cli.bundle import Bundle, Manifest
from okedit_cli.bundle.merge import MergeConflict, merge
from okedit_cli.bundle.remove import remove
from okedit_cli.edits.memory import Memory
from okedit_cli.encoders.text import text_vectors
from okedit_cli.errors import ModelMismatch, UsageError

BASE = {"architecture": "Tiny", "hidden_size": 8, "layers": 4}
SITE = {"text_encoder": "okedit-questions", "top_k": 1, "form": "new fact", "demonstrations": []}
NAME, CAPITAL = "What is this cat's name?", "What is the capital of France?"
RED, BLUE = (1.0, 0.1), (0.1, 1.0)


def memory(*facts: tuple, **site) -> Bundle:
    """A bundle of (id, prompt, answer, picture's vector or None) facts."""
    pictured = [(n, fact[3]) for n, fact in enumerate(facts) if fact[3] is not None]
    edits = Memory(
        text_vectors([fact[1] for fact in facts]),
        torch.tensor([vector for _, vector in pictured]).reshape(-1, 2),
        torch.tensor([n for n, _ in pictured], dtype=torch.int64),
    )
    rows = [{"id": f[0], "prompt": f[1], "answer": f[2], "rephrases": []} for f in facts]
    return Bundle(Manifest(BASE, SITE | site, "ike", rows, kind="memory"), edits)


def told(bundle: Bundle) -> list[tuple]:
    """(id, answer, picture keys) of each row."""
    edits = bundle.edits
    return [
        (row["id"], row["answer"], edits.picture_keys[edits.picture_owner == n].tolist())
        for n, row in enumerate(bundle.manifest.facts)
    ]


def test_merged_rows_keep_their_keys_and_equal_ones_are_kept_once(tmp_path):
    one = memory(("cat", NAME, "Miso", RED), ("capital", CAPITAL, "Lyon", None))
    two = memory(("capital", CAPITAL, "Lyon", None), ("cat", NAME, "Juno", BLUE))
    merged, report = merge([one, two])
    # another picture's cat is another fact
    assert [(name, answer) for name, answer, _ in told(merged)] == [
        ("cat", "Miso"), ("capital", "Lyon"), ("cat-2", "Juno"),
    ]  # fmt: skip
    assert [len(keys) for *_, keys in told(merged)] == [1, 0, 1]
    assert not report.conflicts and report.duplicates == [("capital", "capital")]
    merged.save(tmp_path / "merged.safetensors")
    again = Bundle.load(tmp_path / "merged.safetensors", verify=True)
    assert told(again) == told(merged) and torch.equal(again.edits.keys, merged.edits.keys)
    assert [row for row, _ in again.edits.nearest(NAME, torch.tensor(BLUE), 1)] == [2]


@pytest.mark.parametrize(("policy", "answer"), [("newest", "Nice"), ("first", "Lyon")])
def test_facts_that_contradict_each_other(policy, answer):
    one, two = memory(("a", CAPITAL, "Lyon", None)), memory(("b", "Name France's capital.", "Nice", None))
    merged, report = merge([one, two], on_conflict=policy)
    assert [row["answer"] for row in merged.manifest.facts] == [answer]
    assert len(report.conflicts) == 1 and len(report.dropped) == 1
    with pytest.raises(MergeConflict):
        merge([one, two], on_conflict="error")


def test_removed_rows_leave_the_others_as_they_were():
    whole = memory(("cat", NAME, "Miso", RED), ("capital", CAPITAL, "Lyon", None), ("dog", NAME, "Rex", BLUE))
    left, report = remove(whole, ["cat"])
    assert [one[:2] for one in told(left)] == [("capital", "Lyon"), ("dog", "Rex")]
    assert told(left)[1][2] == told(whole)[2][2] and not report.forgotten
    assert left.edits.kind == "memory" and torch.equal(left.edits.keys, whole.edits.keys[1:])
    assert len(remove(whole, ["cat", "capital", "dog"])[0]) == 0


def test_memories_that_put_facts_otherwise_do_not_merge():
    one = memory(("a", CAPITAL, "Lyon", None))
    with pytest.raises(ModelMismatch, match="top_k"):
        merge([one, memory(("b", NAME, "Miso", RED), top_k=3)])
    wide = memory(("b", NAME, "Miso", RED))
    wide.edits = replace(wide.edits, picture_keys=torch.zeros(1, 3))
    with pytest.raises(ModelMismatch, match="picture_keys have size 2 in one and 3"):
        merge([one, wide])


def test_a_delta_says_that_it_has_no_rows():
    from okedit_cli.edits.delta import Change, Delta

    edits = Delta({"0.q": Change(full=torch.zeros(2, 2))}, 1)
    rows = [{"id": "a", "prompt": CAPITAL, "answer": "Lyon", "rephrases": []}]
    delta = Bundle(Manifest(BASE, {}, "lora", rows, kind="delta"), edits)
    for act in (lambda: merge([delta, delta]), lambda: remove(delta, ["a"])):
        with pytest.raises(UsageError, match="cannot be merged, removed or added to"):
            act()
