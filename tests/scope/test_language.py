"""Other languages than the encoder's: told apart, and near copies of one text."""

import pytest
from scope.held import ask, bundle

from okedit_cli.scope.language import is_covered, is_near_copy
from okedit_cli.scope.router import Router

OTHER = [
    ("Wie heißt die Hauptstadt von Australien?", "wie heisst die Hauptstadt von Australien",
     "Wie heißt die größte Stadt von Australien?"),
    ("¿Cómo se llama el perro de la oficina?", "Hola, ¿cómo se llama el perro de la oficina?",
     "¿Cuántos años tiene el perro de la oficina?"),
    ("法国的首都是哪里？", "法国的首都是哪里", "西班牙的首都是哪里？"),
    ("ما هي عاصمة المغرب؟", "ما هي عاصمة المغرب", "كم عدد سكان المغرب؟"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "copy", "other"), OTHER)
def test_a_fact_answers_near_copies_of_its_own_wording_and_no_other_question(own, copy, other):
    router = Router([bundle({"id": "fact", "prompt": own})], [0.5])
    assert ask(router, [own, copy, other]) == ["fact", "fact", None]
    assert not is_covered(own)


@pytest.mark.parametrize(
    "text", ["What is this?", "Who wrote Faust?", "newest python release", "Miso", "Where is the Zugspitze?"]
)
def test_english_is_covered(text):
    assert is_covered(text)


def test_near_copies():
    assert is_near_copy("Wo steht der Drucker im Büro?", "wo steht der drucker im buero?") is False
    assert is_near_copy("Wo steht der Drucker im Büro?", "Hallo, wo steht der Drucker im Büro?")
    assert not is_near_copy("Wann öffnet das Museum?", "Wann schließt das Museum?")
    assert not is_near_copy("Was kostet Modell 12?", "Was kostet Modell 13?")
