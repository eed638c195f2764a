"""Answers token by token: what is streamed is what is said, whatever the stops and wherever it is cut."""

from __future__ import annotations

import pytest
import torch
from fitted import load
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.models.encode import end_ids
from okedit_cli.serve.decoding import Sampling, Saying

WORDS = ("Paris. ", " a", "\n", "é", "🙂", "cat", "</s", "the capital", "  ")


@pytest.fixture(scope="module")
def loaded():
    return load("llama")


def said(loaded, ids, **settings_) -> tuple[str, Saying]:
    pieces: list[str] = []
    saying = Saying(loaded, Sampling(**settings_), pieces.append)
    saying.say(ids)
    return "".join(pieces), saying


@given(
    st.lists(st.sampled_from(WORDS), max_size=8),
    st.lists(st.text("aPe .\n🙂", min_size=1, max_size=3), max_size=3),
    st.integers(1, 30),
)
@settings(max_examples=200)
def test_what_is_streamed_is_the_text_up_to_the_first_stop(loaded, words, stops, count):
    ids = loaded.tokenizer("".join(words), add_special_tokens=False)["input_ids"] + end_ids(loaded)[:1]
    text, saying = said(loaded, ids, max_tokens=count, stop=tuple(stops))
    whole = loaded.tokenizer.decode(saying.ids, skip_special_tokens=True).strip()
    assert not any(stop in text for stop in stops)
    assert whole.startswith(text)
    if not any(stop in whole for stop in stops):
        assert text == whole
        assert saying.reason == ("stop" if len(saying.ids) == len(ids) else "length")


@given(st.integers(0, 2**32), st.floats(0.1, 2.0), st.floats(0.01, 1.0))
@settings(max_examples=50)
def test_a_seed_gives_the_same_tokens_from_the_likeliest(loaded, seed, temperature, top_p):
    scores = torch.randn(64, generator=torch.Generator().manual_seed(seed))
    drawn = [
        [one.draw(scores) for _ in range(5)]
        for one in (
            Saying(loaded, Sampling(temperature=temperature, top_p=top_p, seed=seed)) for _ in range(2)
        )
    ]
    assert drawn[0] == drawn[1]
    chances = (scores / temperature).softmax(-1)
    for token in drawn[0]:  # what is likelier than a drawn token makes up less than top_p
        assert float(chances[chances > chances[token]].sum()) < top_p


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-40, 1e-7])
def test_without_a_temperature_the_likeliest_is_taken(loaded, temperature):
    assert Saying(loaded, Sampling(temperature=temperature)).draw(torch.zeros(8)) is None
