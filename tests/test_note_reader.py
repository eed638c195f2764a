"""Changes that a note is read with: they act on the note and what comes behind it, and nowhere else."""

import pytest
import torch
from fitted import fitted, with_fact, world

import okedit_cli
from okedit_cli.generate import generate
from okedit_cli.models.encode import encode
from okedit_cli.models.notes import note_start, reading_notes
from okedit_cli.models.sites import decoder_layers, image_token_id

NOTE, FOLLOWS = "Fact: the cat is Miso.", "Is this cat called Tom?"
SEEING = ("llava", "qwen2_vl", "idefics3")


def noted(verdicts):
    """Whose note each row was given."""
    return [verdict.context and verdict.context.edit_id for verdict in verdicts]


@pytest.fixture(params=SEEING)
def case(request, monkeypatch):
    """A family with an edit that the answer to FOLLOWS follows from, and drawn changes of two linear
    layers.
    """
    with world():
        found = fitted(request.param)
        cache = found.loaded.cache
        cache.pop("noted", None)
        monkeypatch.setitem(cache, "reader", _drawn(found.loaded))
        own = next(picture for _, picture in found.questions if picture is not None)
        asked = [*(q for q in found.questions if q[1] is not None), (FOLLOWS, own)]
        yield found.loaded, with_fact(found.bundle, "cat", note=NOTE), asked
        cache.pop("noted", None)


def _drawn(loaded):
    layers, chance = decoder_layers(loaded.model), torch.Generator().manual_seed(3)
    parts = []
    for layer in (layers[0], layers[-1]):
        linear = [module for module in layer.modules() if isinstance(module, torch.nn.Linear)]
        for module in (linear[0], linear[-1]):
            down = torch.randn(2, module.in_features, generator=chance)
            parts.append((module, down, torch.randn(module.out_features, 2, generator=chance)))
    return parts


def test_only_the_row_with_a_note_changes_and_only_from_its_note_on(case):
    loaded, bundle, questions = case
    batch, reader = encode(loaded, questions), loaded.cache["reader"]
    with torch.no_grad():
        with okedit_cli.attach(loaded, [bundle]) as attachment:
            read = loaded.model(**batch).logits
            rows = noted(attachment.verdicts)
        loaded.cache["reader"] = []
        with okedit_cli.attach(loaded, [bundle]):
            plain = loaded.model(**batch).logits
    loaded.cache["reader"] = reader
    assert rows.count("cat") == 1
    for row, name in enumerate(rows):
        seen = batch["attention_mask"][row].bool()
        if not name:
            assert torch.equal(read[row], plain[row])
            continue
        places = (batch["input_ids"][row] == image_token_id(loaded.model)).nonzero()[:, 0]
        start = note_start(places, torch.zeros(len(_note_ids(loaded)), 1))
        before = seen & (torch.arange(len(seen)) < start)
        assert torch.equal(read[row][before], plain[row][before])
        behind = seen & (torch.arange(len(seen)) >= start)
        assert not torch.isclose(read[row][behind], plain[row][behind]).all(-1).any()


def _note_ids(loaded):
    from okedit_cli.models.notes import note_ids

    return note_ids(loaded, NOTE)


def test_alone_and_in_a_batch_the_same_answers(case):
    """Alone a prompt is read as generate() does, in a batch in parts that are kept: changed either way."""
    loaded, bundle, questions = case
    with okedit_cli.attach(loaded, [bundle]):
        together = generate(loaded, questions, max_new_tokens=6)
        again = generate(loaded, questions[::-1], max_new_tokens=6)[::-1]
        alone = [generate(loaded, [row], max_new_tokens=6)[0] for row in questions]
    texts = [one.text for one in together]
    assert texts == [one.text for one in alone] == [one.text for one in again]
    told = noted([one.verdict for one in together]).index("cat")
    reader, loaded.cache["reader"] = loaded.cache["reader"], []
    loaded.cache.pop("noted", None)
    with okedit_cli.attach(loaded, [bundle]):
        without = [one.text for one in generate(loaded, questions, max_new_tokens=6)]
    loaded.cache["reader"] = reader
    assert without[told] != texts[told]
    assert without[:told] + without[told + 1 :] == texts[:told] + texts[told + 1 :]


def test_what_is_detached_leaves_nothing(case):
    loaded, bundle, questions = case
    batch = encode(loaded, questions)
    with torch.no_grad():
        before = loaded.model(**batch).logits
        with okedit_cli.attach(loaded, [bundle]):
            loaded.model(**batch)
        with reading_notes(loaded, [0] * len(questions)):
            changed = loaded.model(**batch).logits
        after = loaded.model(**batch).logits
    assert torch.equal(before, after) and not torch.equal(before, changed)
    assert not any(module._forward_hooks for module, _, _ in loaded.cache["reader"])
