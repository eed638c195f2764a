"""Models whose layers see the last tokens alone: prompts of several lengths, longer than what they see."""

import families.text
import pytest
import tiny
import torch

from okedit_cli.generate import generate
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.load import load_model
from okedit_cli.models.sites import decoder_layers
from okedit_cli.models.suffix import read_prompts, run_suffix

FAMILIES = ("mistral", "gemma2", "gemma3_text")
WINDOW = 80  # more than the questions have with which a model is tried, and fewer than those here
# of so many those of about one length are read together
LONG = "How many people are there in the picture? "
ASKED = [f"{LONG * (3 * (number % 3))}Who is {number}?" for number in range(40)]


@pytest.fixture(scope="module", params=FAMILIES)
def windowed(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families.text, "WINDOW", WINDOW)
        return load_model(str(tiny.build(request.param, tmp_path_factory.mktemp(request.param))))


def test_prompts_of_several_lengths_are_answered_as_each_by_itself(windowed):
    together = generate(windowed, [(text, None) for text in ASKED], max_new_tokens=4, batch=40)
    alone = [generate(windowed, [(text, None)], max_new_tokens=4)[0] for text in ASKED]
    assert [one.text for one in together] == [one.text for one in alone]


def test_their_answers_are_fitted_behind_what_the_whole_model_reads(windowed):
    questions, answers = [(text, None) for text in ASKED], [answer_ids(windowed, "Miso")] * len(ASKED)
    layer = len(decoder_layers(windowed.model)) - 2
    suffix = read_prompts(windowed, questions, answers, layer)
    found = run_suffix(windowed, suffix, torch.zeros_like)
    with torch.no_grad():
        for row, (question, answer) in enumerate(zip(questions[::7], answers, strict=False)):
            whole = windowed.model(**encode(windowed, [question], answers=[answer[:-1]])).logits[0]
            torch.testing.assert_close(
                found[7 * row, : len(answer)], whole[-len(answer) :], atol=1e-3, rtol=1e-3
            )
