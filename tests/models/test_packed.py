"""The sentence encoder's own forward pass."""

import pytest
import torch

from okedit_cli.models.sentences import WIDTH, question_encoder, question_vectors
from okedit_cli.models.sentences.packed import PackedBert

LENGTHS = (7, 1, 12, 4)


@pytest.fixture(scope="module")
def bert():
    return question_encoder()[1]


@pytest.mark.parametrize("segments", [None, "both"])
@pytest.mark.parametrize("lengths", [LENGTHS, (5, 5), (9,)])
def test_it_says_what_the_class_says_and_nothing_of_pads(bert, lengths, segments):
    by = torch.Generator().manual_seed(0)
    shape = len(lengths), max(lengths)
    ids = torch.randint(1000, 20_000, shape, generator=by)
    mask = (torch.arange(shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    kinds = None if segments is None else torch.randint(0, 2, shape, generator=by)
    with torch.inference_mode():
        wanted = bert(input_ids=ids, attention_mask=mask, token_type_ids=kinds).last_hidden_state
    found = PackedBert(bert)(ids, mask, kinds)
    torch.testing.assert_close(found, wanted * mask[..., None], atol=2e-5, rtol=1e-4)
    assert torch.equal(PackedBert(bert)(ids.where(mask.bool(), 5), mask, kinds), found)


def test_a_text_does_not_depend_on_those_beside_it():
    texts = ["What is this?", "Who painted the ceiling of the chapel, and when?", "And?"]
    together = question_vectors(texts)
    assert together.shape == (3, WIDTH) and question_vectors([]).shape == (0, WIDTH)
    assert torch.equal(together, torch.cat([question_vectors([text]) for text in texts]))
