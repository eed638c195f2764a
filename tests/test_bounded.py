"""What is kept within so many bytes, against a list that does the same the long way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.bounded import Bounded, remembering

STEPS = st.lists(st.tuples(st.sampled_from("pgd"), st.integers(0, 5), st.integers(0, 9)), max_size=40)


@given(STEPS, st.integers(0, 20))
def test_the_last_used_stay(steps, most):
    kept, model = Bounded(), []  # model: (key, size), used last at the end
    for what, key, size in steps:
        old = next((row for row in model if row[0] == key), None)
        if what == "p":
            model = [row for row in model if row[0] != key] + [(key, size)]
            while sum(row[1] for row in model) > most and len(model) > 1:
                model.pop(0)
            kept.put(key, (key, size), size, most)
        elif old is not None and what == "g":
            model = [row for row in model if row is not old] + [old]
            assert kept[key] == old
        elif old is not None:
            model.remove(old)
            del kept[key]
        assert kept.in_order() == model and list(kept) == [row[0] for row in model]
        assert kept.size == sum(row[1] for row in model) and len(kept) == len(model)


def test_a_value_without_a_size_is_refused():
    with pytest.raises(TypeError):
        Bounded()["a"] = 1
    with pytest.raises(KeyError):
        Bounded()["a"]


def test_a_function_remembers_short_texts_alone():
    asked = []

    @remembering(2, longest=10)
    def shout(text: str, more: str = "") -> str:
        asked.append(text)
        return text.upper() + more

    for text in ("a", "a", "b", "long text here", "long text here", "a"):
        assert shout(text) == text.upper()
    assert asked == ["a", "b", "long text here", "long text here"]
