"""Chats and completions: shapes, streams, decisions, settings of one answer, many at once."""

from __future__ import annotations

import json

import pytest
import tiny
from fitted import MISO, OTHER, PARIS, PICTURED, WORDS, fitted
from serving import data_url, serving_model

import okedit_cli


def events(response) -> list:
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]" and all(line.startswith("data: ") for line in lines)
    return [json.loads(line[6:]) for line in lines[:-1]]


def plain_answer(client, question, picture=None, count=8) -> str:
    """What the base model says without a server."""
    loaded = fitted("llava").loaded
    return okedit_cli.generate(loaded, [(question, picture)], max_new_tokens=count)[0].text


def test_a_whole_answer(client):
    found = client.chat(WORDS)
    body = found.json()
    [choice] = body["choices"]
    assert body["object"] == "chat.completion" and body["model"] == f"{client.base}+facts"
    assert choice["message"] == {"role": "assistant", "content": PARIS} and choice["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 2
    assert found.headers["x-okedit-edit"] == "facts/capital"
    assert body["okedit"]["edit"] == "capital" and "fired: capital of facts" in body["okedit"]["explanation"]


def test_a_stream_says_the_same(client):
    for question in (WORDS, OTHER):
        whole = client.chat(question).json()
        found = client.chat(question, stream=True, stream_options={"include_usage": True})
        *chunks, last = events(found)
        text = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks)
        assert text == whole["choices"][0]["message"]["content"]
        assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
        assert last["usage"] == whole["usage"] and last["choices"] == []
        assert chunks[0]["okedit"] == whole["okedit"] and len({one["id"] for one in chunks}) == 1
        assert ("x-okedit-edit" in found.headers) == (question == WORDS)


def test_the_model_name_says_who_answers(client):
    before = plain_answer(client, WORDS)
    assert client.text(WORDS, model=client.base) == before != PARIS
    assert "x-okedit-edit" not in client.chat(WORDS, model=client.base).headers
    assert client.text(WORDS, model=f"{client.base}+facts") == client.text(WORDS) == PARIS
    names = [one["id"] for one in client.http.get("/v1/models").json()["data"]]
    assert names == [client.base, f"{client.base}+facts"]
    assert client.http.get(f"/v1/models/{names[1]}").json()["id"] == names[1]
    assert client.http.get("/v1/models/other").status_code == 404


def test_pictures(client):
    own, other = tiny.picture(), tiny.picture("blue", (60, 33))
    assert client.text((PICTURED, own)) == MISO
    assert client.text((OTHER, own)) == plain_answer(client, OTHER, own)
    assert client.text((PICTURED, other)) == plain_answer(client, PICTURED, other)


@pytest.mark.parametrize("picture_in", ["first", "last"])
def test_of_a_conversation_the_last_question_and_its_picture_decide(client, picture_in):
    own, other = tiny.picture(), tiny.picture("blue", (60, 33))
    said = {"role": "assistant", "content": "Yes."}
    turns = (
        [(OTHER, own), said, PICTURED] if picture_in == "first" else [(OTHER, other), said, (PICTURED, own)]
    )
    found = client.chat({"role": "system", "content": "Be short."}, *turns).json()
    assert found["okedit"]["edit"] == "cat"
    found = client.chat((PICTURED, own), said, OTHER).json()
    assert found["okedit"]["edit"] is None  # that an edit answered before is no matter
    found = client.chat((PICTURED, own), said, (PICTURED, other)).json()
    assert found["okedit"]["edit"] is None
    assert client.chat(OTHER, said, WORDS).json()["okedit"]["edit"] == "capital"


def test_of_several_pictures_any_may_be_an_edits(client):
    own, other = (data_url(tiny.picture(*one)) for one in ((), ("blue", (60, 33))))
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in (own, other)]
    found = client.chat({"role": "user", "content": [*parts, {"type": "text", "text": PICTURED}]})
    assert found.json()["okedit"]["edit"] == "cat"
    only = client.chat({"role": "user", "content": [parts[1], parts[1], {"type": "text", "text": PICTURED}]})
    assert only.json()["okedit"]["edit"] is None


def test_turns_are_read(client):
    said = [{"role": "assistant", "content": "Yes."}]
    alone, longer = client.chat(OTHER).json(), client.chat("Is this a dog?", *said, OTHER).json()
    assert longer["usage"]["prompt_tokens"] > alone["usage"]["prompt_tokens"]


def test_completions(client):
    found = client.http.post("/v1/completions", json={"prompt": OTHER, "max_tokens": 5}).json()
    assert found["object"] == "text_completion" and found["choices"][0]["text"]
    streamed = client.http.post(
        "/v1/completions", json={"prompt": [OTHER], "max_tokens": 5, "stream": True}
    )  # fmt: skip
    text = "".join(one["choices"][0]["text"] for one in events(streamed))
    assert text == found["choices"][0]["text"]
    hit = client.http.post("/v1/completions", json={"prompt": WORDS, "max_tokens": 5})
    assert hit.headers["x-okedit-edit"] == "facts/capital"


def test_how_long(client):
    for fields in ({"max_tokens": 3}, {"max_tokens": 9, "max_completion_tokens": 3}):
        found = client.chat(OTHER, **fields).json()
        assert found["usage"]["completion_tokens"] == 3 and found["choices"][0]["finish_reason"] == "length"
    whole = client.chat(WORDS, max_tokens=10_000_000).json()  # as long as the model goes
    assert whole["choices"][0]["finish_reason"] == "stop"


def test_stops(client):
    text = client.text(OTHER, max_tokens=12)
    middle = text[3:5]
    found = client.chat(OTHER, max_tokens=12, stop=[middle, "never said"]).json()["choices"][0]
    assert found["message"]["content"] == text[: text.index(middle)].rstrip()
    assert found["finish_reason"] == "stop"
    pieces = events(client.chat(OTHER, max_tokens=12, stop=middle, stream=True))
    streamed = "".join(one["choices"][0]["delta"].get("content", "") for one in pieces)
    assert streamed == found["message"]["content"]


def test_drawn_answers(client):
    drawn = {"temperature": 1.5, "seed": 3, "max_tokens": 8}
    first = client.text(OTHER, **drawn)
    assert client.text(OTHER, **drawn) == first != client.text(OTHER, **{**drawn, "seed": 4})
    assert client.text(OTHER, temperature=1.5, top_p=0.0) == client.text(OTHER)  # the likeliest alone
    others = [(OTHER, {"temperature": 1.5, "seed": seed}) for seed in (7, 8, 9)]
    together = client.together([*others, (OTHER, drawn)])
    assert together[-1].json()["choices"][0]["message"]["content"] == first


def test_requests_that_arrive_together_have_their_own_decisions(client):
    own, other = tiny.picture(), tiny.picture("blue", (60, 33))
    asked = [
        (WORDS, {}),
        (OTHER, {}),
        ((PICTURED, own), {}),
        ((PICTURED, other), {}),
        (WORDS, {"model": client.base}),
        ("Who?", {"max_tokens": 3}),
        ("Who?", {}),
    ]
    alone = [client.together([one])[0] for one in asked]
    for _ in range(3):
        for one, two in zip(alone, client.together(asked), strict=True):
            assert one.status_code == two.status_code == 200
            assert one.headers.get("x-okedit-edit") == two.headers.get("x-okedit-edit")
            if "json" in one.headers["content-type"]:
                assert one.json()["choices"] == two.json()["choices"]
                assert one.json()["okedit"]["edit"] == two.json()["okedit"]["edit"]


@pytest.mark.parametrize("family", ["qwen2_vl", "idefics3", "gpt2", "llama"])
def test_other_families(family):
    case = fitted(family)
    with serving_model(family, ("facts", case.bundle)) as client:
        for (question, picture), hit in zip(case.questions, case.hits, strict=True):
            [plain] = okedit_cli.generate(case.loaded, [(question, picture)], max_new_tokens=6)
            found = client.chat((question, picture), max_tokens=6).json()
            said = found["choices"][0]["message"]["content"]
            assert found["okedit"]["edit"] == hit
            assert said == {"cat": MISO, "capital": PARIS, None: plain.text}[hit]
        turns = [
            {"role": "system", "content": "Be short."},
            "Hello",
            {"role": "assistant", "content": "Yes."},
        ]
        assert client.chat(*turns, WORDS).json()["okedit"]["edit"] == "capital"
        if case.loaded.processor is not None:
            own, other = tiny.picture(), tiny.picture("blue", (60, 33))
            found = client.chat((OTHER, other), turns[-1], (PICTURED, own)).json()
            assert found["okedit"]["edit"] == "cat"


def test_the_openai_client(client):
    openai = pytest.importorskip("openai", reason="the openai package is not installed")
    with openai.OpenAI(base_url=f"{client.url}/v1", api_key="any", max_retries=0) as asking:
        assert [one.id for one in asking.models.list()] == [client.base, f"{client.base}+facts"]
        words = [{"role": "user", "content": WORDS}]
        whole = asking.chat.completions.create(model=f"{client.base}+facts", messages=words)
        assert whole.choices[0].message.content == PARIS and whole.usage.total_tokens
        assert whole.okedit["edit"] == "capital"
        stream = asking.chat.completions.create(model=f"{client.base}+facts", messages=words, stream=True)
        assert "".join(one.choices[0].delta.content or "" for one in stream) == PARIS
        with pytest.raises(openai.NotFoundError, match="no model"):
            asking.chat.completions.create(model="other", messages=words)
        assert asking.completions.create(model=client.base, prompt="Who?", max_tokens=3).choices[0].text


def test_figures(client):
    client.chat(WORDS)
    text = client.http.get("/metrics").text
    assert 'okedit_decisions_total{verdict="hit"}' in text
    assert 'okedit_requests_total{path="/v1/chat/completions",status="200"}' in text
    assert client.http.get("/health").json()["status"] == "ok"
