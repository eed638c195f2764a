"""The pair classifier: what it says depends on the pair alone, and it tells plain cases apart."""

import pytest
import torch

from okedit_cli.encoders.pair import ANSWERS, CLASSES, FOLLOWS, OTHER, judge_pairs

PAIRS = [
    ("What is the capital of France?", "Which city is the capital of France?", ANSWERS),
    ("What is the capital of France?", "What is the capital of Spain?", OTHER),
    ("What is the capital of France?", "What is the currency of France?", OTHER),
    ("What is the capital of France?", "Is Lyon the capital of France?", FOLLOWS),
    ("What is this?", "Tell me what is shown here.", ANSWERS),
    ("What is this?", "What colour is it?", OTHER),
]


@pytest.mark.parametrize(("prompt", "query", "wanted"), PAIRS)
def test_plain_cases(prompt, query, wanted):
    assert int(judge_pairs([(prompt, query)])[0].argmax()) == wanted


def test_a_pair_is_judged_the_same_whatever_comes_along():
    pairs = [(prompt, query) for prompt, query, _ in PAIRS]
    together = judge_pairs(pairs)
    assert together.shape == (len(pairs), len(CLASSES))
    torch.testing.assert_close(together.exp().sum(1), torch.ones(len(pairs)))
    long = "It rained for hours, and the trams stood still. " * 5
    for row, (prompt, query) in enumerate(pairs):
        # spaces change nothing but what is remembered
        torch.testing.assert_close(judge_pairs([(prompt + " ", query)])[0], together[row], atol=1e-3, rtol=0)
        beside = judge_pairs([(long, prompt + "  "), (prompt + "  ", query)])[1]
        torch.testing.assert_close(beside, together[row], atol=1e-3, rtol=0)
    assert judge_pairs([]).shape == (0, len(CLASSES))


def test_texts_of_any_length_are_judged():
    long = "It was a long day at the harbour and nobody came. " * 200
    assert torch.isfinite(judge_pairs([("", ""), (long, long), ("Who?", long), (long, "Who?")])).all()
