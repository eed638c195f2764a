"""Chat messages: turns, the last question and its picture, and what is wrong with a message."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

import tiny  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from okedit_cli.serve.errors import ApiError  # noqa: E402
from okedit_cli.serve.messages import conversation, last_question  # noqa: E402

SHOWN = {"red": tiny.picture("red"), "blue": tiny.picture("blue")}


def read(url, param):
    return SHOWN[url]


def user(*parts):
    told = [{"type": "text", "text": part} if part not in SHOWN else
            {"type": "image_url", "image_url": {"url": part}} for part in parts]  # fmt: skip
    return {"role": "user", "content": told}


def test_turns_and_the_last_question():
    found = conversation(
        [
            {"role": "developer", "content": "Be short."},
            user("red", "Who is this?"),
            {"role": "assistant", "content": "Miso."},
            user("And what", "does she eat?"),
        ],
        read,
    )
    assert [turn.role for turn in found.turns] == ["system", "user", "assistant", "user"]
    assert found.question == "And what\ndoes she eat?" and found.picture is SHOWN["red"] and not found.single


def test_the_last_questions_own_picture_comes_first():
    messages = [user("red", "Who?"), {"role": "assistant", "content": "Miso"}, user("And this?", "blue")]
    assert conversation(messages, read).picture is SHOWN["blue"]
    assert last_question(messages) == ("And this?", ["blue"])
    assert last_question(messages[:2]) is None


def test_other_words_keep_the_pictures():
    found = conversation([user("red", "Who?")], read)
    assert found.single and found.asking("Miso is a cat. Who?").turns[-1].parts == (
        SHOWN["red"], "Miso is a cat. Who?"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        (["hello"], "messages.0"),
        ([{"role": "tool", "content": "x"}], "messages.0.role"),
        ([{"role": ["user"], "content": "x"}], "messages.0.role"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": " "}], "messages.0.content"),
        ([{"role": "user", "content": "\ud800"}], "messages.0.content"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages.0.content.0.type"),
        ([{"role": "user", "content": [{"type": "text", "text": 3}]}], "messages.0.content.0.type"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": "red"}]}],
            "messages.0.content.0",
        ),
        ([user("Who?"), {"role": "assistant", "content": "Miso"}], "messages.1.role"),
        ([user("Who?"), {"role": "assistant", "tool_calls": [1]}], "messages.1.tool_calls"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(messages, param):
    with pytest.raises(ApiError) as told:
        conversation(messages, read)
    assert told.value.status == 400 and told.value.param == param
    assert told.value.message.endswith(".") and "\n" not in told.value.message


def test_too_many_pictures():
    with pytest.raises(ApiError) as told:
        conversation([user("red", "blue", "red", "Who?")], read, most=2)
    assert told.value.status == 413


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["role", "content", "type", "text", "image_url", "url", "user"]), inner
    ),
)  # fmt: skip


@given(anything)
def test_anything_is_a_conversation_or_an_error(messages):
    last_question(messages)
    try:
        conversation(messages, lambda url, param: SHOWN["red"])
    except ApiError as error:
        assert error.status in (400, 413)


def test_too_many_messages_are_refused_before_one_is_read():
    empty = {"role": "user", "content": ""}
    many_parts = {"role": "user", "content": [{"type": "text", "text": ""}] * 600}
    for messages, told in (([empty] * 1001, "1,001 messages"), ([many_parts] * 2, "1,200 parts")):
        with pytest.raises(ApiError) as error:
            conversation(messages, read)
        assert error.value.status == 400 and error.value.param == "messages" and told in error.value.message
    talk = [{"role": "user", "content": "Who?"}] * 1000
    assert len(conversation(talk, read).turns) == 1000
