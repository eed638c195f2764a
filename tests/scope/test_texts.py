"""Long texts with a question in them are told apart by what is asked, and by the text."""

import pytest
from fitted import fact
from scope.held import ask, bundle

from okedit_cli.encoders.text import DEFAULT
from okedit_cli.methods.keys import unjudged
from okedit_cli.scope.router import Router
from okedit_cli.scope.texts import asked, keys_of

LEASE = (
    "The lease of the corner shop in Harbour Street was drawn up in the spring by a notary and read aloud"
    " to both parties in the back room. It sets out the rent for each quarter, the days on which it falls"
    " due, who pays for repairs to the roof, and what happens to the fittings when the lease ends. The "
    "tenant may keep a bicycle in the yard and a sign over the door, may not keep animals, and has to "
    "leave the cellar dry. The owner may visit twice a year after sending a note, and has to have the "
    "chimney swept every autumn before the first frost. A copy is held at the town hall, another by the "
    "bank on the square, and a third lies in the drawer of the desk in the front office."
)
MINUTES = (
    "The meeting of the rowing club began at seven in the boat house with all nine members of the board. "
    "The treasurer gave an account of the year and asked for a new roof over the workshop before the "
    "winter. The members spoke about the jetty, which has lost two planks, and about the keys, of which "
    "three are missing since the summer feast. A new boat was promised by the town, to be named after the"
    " first president, and the children's group is to have it on Saturdays. The next meeting was set for "
    "the second week of March, and afterwards everybody had soup in the kitchen."
)
WHO = "Who signed the lease?"


@pytest.fixture(scope="module")
def router():
    return Router([bundle({"id": "lease", "prompt": f"{LEASE} {WHO}"})], [0.5])


@pytest.mark.parametrize(
    "question",
    [
        f"{LEASE} {WHO}",
        f"{LEASE} Who was the lease signed by?",
        f"{WHO} {LEASE}",
        f"{LEASE.replace('spring', 'sprnig')} {WHO}",
    ],
)
def test_the_question_behind_its_text_is_answered(router, question):
    assert ask(router, [question]) == ["lease"]


@pytest.mark.parametrize(
    "question",
    [
        f"{LEASE} Name three fruits.",
        f"{LEASE} How high is the rent?",
        f"{LEASE} Where does the third copy lie?",
        f"What is the capital of Peru? {LEASE}",
        f"{LEASE} Translate the text into French.",
        f"{LEASE.replace('spring', 'autumn')} How high is the rent?",
        f"{MINUTES} {WHO}",
        f"{MINUTES} Who promised the new boat?",
        LEASE,
        MINUTES,
    ],
)
def test_other_questions_behind_it_and_other_texts_are_left_alone(router, question):
    assert ask(router, [question]) == [None]


def test_a_short_fact_is_asked_behind_a_long_text():
    router = Router([bundle({"id": "lease", "prompt": WHO})], [0.5])
    assert ask(router, [f"{LEASE} {WHO}", f"{LEASE} Name three fruits."]) == ["lease", None]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (f"{LEASE} {WHO}", WHO),
        (f"{WHO} {LEASE}", WHO),
        (f"{LEASE}\nQuestion: {WHO}\nAnswer:", WHO),
        ("Is it cold? It is not. Name three fruits.", "Name three fruits."),
        ("It was late. Who was treated by Dr. Smith?", "Who was treated by Dr. Smith?"),
        ("It was late. He left.", "He left."),
        ("", ""),
    ],
)
def test_what_a_text_asks(text, question):
    assert asked(text) == question


def test_a_long_prompt_is_found_by_its_question():
    assert WHO in keys_of(f"{LEASE} {WHO}") and keys_of(WHO) == [WHO]


def test_a_sentence_that_is_too_long_to_be_compared_is_told():
    endless = LEASE.replace(".", ",") + " and who signed it?"
    told = unjudged(fact("lease", endless, "Ingrid Solberg"), DEFAULT)
    assert "over-reach" in told and str(len(endless.split())) in told
    assert not unjudged(fact("lease", f"{LEASE} {WHO}", "Ingrid Solberg"), DEFAULT)
    assert not unjudged(fact("lease", endless, "Ingrid Solberg"), "another/encoder")
