"""What the gateway does with a question that a fact is about, and with pictures, in front of an engine."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

import openai  # noqa: E402
import picture_server  # noqa: E402
import torch  # noqa: E402
from engine import engine  # noqa: E402
from PIL import Image  # noqa: E402
from scope.held import bundle  # noqa: E402
from serving import data_url, running, serving_model  # noqa: E402

from okedit_cli.edits.delta import Delta  # noqa: E402
from okedit_cli.encoders.image import MINI, image_vectors  # noqa: E402
from okedit_cli.errors import ModelMismatch, UsageError  # noqa: E402
from okedit_cli.serve import hits  # noqa: E402
from okedit_cli.serve.front import Front  # noqa: E402
from okedit_cli.serve.gateway import Gateway, Settings  # noqa: E402
from okedit_cli.serve.pictures import PictureReader, remote_pictures  # noqa: E402
from okedit_cli.serve.upstream import Upstream  # noqa: E402

IMAGES = Path(__file__).parents[2] / "examples" / "images"
PERU = {"id": "peru capital", "prompt": "What is the capital of Peru?", "answer": "Cusco"}
ASKED = "Which city is the capital of Peru?"
NOTE = 'Given that the answer to "What is the capital of Peru?" is "Cusco", answer this:'
PARROT = {
    "id": "parrot", "prompt": "What language does this parrot speak?", "answer": "Basque", "reach": "kind",
    "note": "Fact: What language does this parrot speak? Basque.",
}  # fmt: skip
SPOKEN = "Which language does this parrot speak?"


def with_parrot():
    """The facts as a bundle whose picture is keyed by okedit-mini's tower, alone."""
    [vector] = image_vectors([Image.open(IMAGES / "parrot.png").convert("RGB")], MINI)
    found = bundle(PERU, {**PARROT, "at": vector})
    book = replace(found.edits, picture_projection=torch.zeros(0, len(vector)))
    return replace(
        found,
        edits=book,
        manifest=replace(found.manifest, site={**found.manifest.site, "picture_point": MINI}),
    )


@pytest.fixture(scope="module")
def facts():
    return Front([replace(bundle(PERU), name="facts.safetensors")])


@contextlib.contextmanager
def gateway(front, url: str, on_hit: str = "context", **given):
    front.open_encoders()
    with running(Gateway(front, Upstream(url), Settings(on_hit, **given))) as address:
        yield address


def chat(address: str, content, **fields) -> httpx.Response:
    messages = (
        content
        if isinstance(content, list) and "role" in content[0]
        else [{"role": "user", "content": content}]
    )
    return httpx.post(
        f"{address}/v1/chat/completions", json={"model": "m", "messages": messages, **fields}, timeout=60
    )


def as_it_stands(address: str, method: str, content: bytes, headers: dict[str, str]) -> None:
    """A request as it stands, which clients would tidy up."""
    link = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    link.request(method, "/v1/chat/completions", content, headers)
    link.getresponse().read()
    link.close()


def test_context_goes_before_the_question_and_nothing_else_changes(facts):
    picture = {"type": "image_url", "image_url": {"url": data_url(Image.new("RGB", (8, 8)))}}
    earlier = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
               {"role": "assistant", "content": "Yes?", "x": [1.5, None]}]  # fmt: skip
    told = f"{NOTE} {ASKED}"
    with engine() as found, gateway(facts, found.url) as address:
        answer = chat(address, ASKED, temperature=0.25, seed=2**60)
        assert answer.headers["x-okedit-edit"] == "facts/peru capital"
        assert answer.headers["x-okedit-scope"] == "answers"
        assert json.loads(found.seen[-1][3]) == {
            "model": "m", "messages": [{"role": "user", "content": told}], "temperature": 0.25, "seed": 2**60,
        }  # fmt: skip
        chat(address, [*earlier, {"role": "user", "content": [picture, {"type": "text", "text": ASKED}]}])
        assert json.loads(found.seen[-1][3])["messages"] == [
            *earlier, {"role": "user", "content": [picture, {"type": "text", "text": told}]},
        ]  # fmt: skip
        for prompt in (ASKED, [ASKED]):
            httpx.post(f"{address}/v1/completions", json={"prompt": prompt}, timeout=60)
            assert json.loads(found.seen[-1][3])["prompt"] == told
        for path in ("//v1/chat//completions", "/v1/chat/completions/"):  # servers fold slashes
            httpx.post(address + path, json={"messages": [{"role": "user", "content": ASKED}]}, timeout=60)
            assert found.seen[-1][1] == "/v1/chat/completions"
            assert json.loads(found.seen[-1][3])["messages"][0]["content"] == told
        for method, headers in (("post", {}), ("POST", {"Content-Encoding": "gzip"})):  # engines read these
            asked = {"messages": [{"role": "user", "content": ASKED}]}
            said = json.dumps(asked).encode()
            as_it_stands(address, method, said, headers)
            assert json.loads(found.seen[-1][3])["messages"][0]["content"] == told
        with httpx.stream("POST", f"{address}/v1/chat/completions", timeout=60, json={
            "model": "streams", "messages": [{"role": "user", "content": ASKED}],
        }) as answer:  # fmt: skip
            assert answer.headers["x-okedit-edit"] and b"".join(answer.iter_raw()).endswith(b"[DONE]\n\n")


def test_what_is_no_question_in_words_is_not_judged(facts):
    bodies = [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": ASKED},
                                               {"role": "assistant", "content": "It is"}]}),
        ("/v1/completions", {"prompt": [1, 2, 3]}),
        ("/v1/completions", {"prompt": [ASKED, ASKED]}),
        ("/v1/embeddings", {"input": ASKED}),
    ]  # fmt: skip
    with engine() as found, gateway(facts, found.url, "answer") as address:
        for path, body in bodies:
            assert "x-okedit-edit" not in httpx.post(address + path, json=body, timeout=60).headers
            assert json.loads(found.seen[-1][3]) == body


def test_a_hit_that_cannot_be_rewritten_goes_on_as_it_is(facts):
    asked = {"role": "user", "content": ASKED}
    text, deep = {"type": "text", "text": ASKED}, "[" * 600 + "]" * 600
    lists = [[asked, "junk"], [asked, None], [None, asked]] + [
        [{"role": "user", "content": parts}]
        for parts in (
            [{"type": "text"}, text],
            [{"type": "text", "text": None}, text],
            [text, None],
            [text, 7],
        )
    ]
    contents = [json.dumps({"messages": one}) for one in lists]
    whole = json.dumps({"messages": [asked]})[:-1]
    odd = [f'{whole}, "x": {deep}}}', f'{whole}, "x": 1e400}}', f'{whole}, "model": {deep}}}']
    with engine() as found:
        for way in hits.WAYS:
            with gateway(facts, found.url, way) as address:
                for content in [*contents, *odd]:
                    answer = httpx.post(f"{address}/v1/chat/completions", content=content, timeout=60)
                    assert answer.status_code == 200, (way, content, answer.text)
                    if content in contents:
                        assert "x-okedit-edit" not in answer.headers
                        assert found.seen[-1][3] == content.encode()


def test_the_fact_as_the_answer_for_the_openai_client(facts):
    asked = [{"role": "user", "content": ASKED}]
    with engine() as found, gateway(facts, found.url, "answer") as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0, timeout=60)
        whole = client.chat.completions.create(model="m", messages=asked, n=2)
        assert [one.message.content for one in whole.choices] == ["Cusco", "Cusco"]
        assert whole.choices[0].finish_reason == "stop" and whole.usage.total_tokens == 0
        assert whole.model_extra["okedit"] == {"edit": "peru capital", "bundle": "facts"}
        events = list(client.chat.completions.create(
            model="m", messages=asked, stream=True, stream_options={"include_usage": True}
        ))  # fmt: skip
        assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == "Cusco"
        assert events[-1].usage.total_tokens == 0 and events[-2].choices[0].finish_reason == "stop"
        assert client.completions.create(model="m", prompt=ASKED).choices[0].text == "Cusco"
        parts = client.completions.create(model="m", prompt=ASKED, stream=True)
        assert "".join(one.choices[0].text for one in parts) == "Cusco"
        assert not found.seen
        for wanted in (
            {"response_format": {"type": "json_object"}},
            {"logprobs": True},
            {"n": 2, "stream": True},
            {"function_call": {"name": "f"}},
            {"guided_json": {}},
            {"modalities": ["audio"]},
        ):  # is told the fact
            answer = chat(address, ASKED, **wanted)
            assert "x-okedit-edit" in answer.headers
            assert wanted.get("stream") or answer.json()["model"] == "echo"
            assert NOTE in json.loads(found.seen[-1][3])["messages"][0]["content"]


def test_the_model_that_holds_the_edit(facts):
    with engine() as found, gateway(facts, found.url, "model", model_name="lora-{edit}") as address:
        assert chat(address, ASKED, top_p=0.5).headers["x-okedit-edit"] == "facts/peru capital"
        body = json.loads(found.seen[-1][3])
        assert body == {
            "model": "lora-peru-capital",
            "messages": [{"role": "user", "content": ASKED}],
            "top_p": 0.5,
        }
        chat(address, "What is the capital of Chile?")
        assert json.loads(found.seen[-1][3])["model"] == "m"
    with pytest.raises(UsageError, match="does not tell edits apart"):
        hits.check_pattern("lora")


def test_pictures_as_data_urls_and_what_follows_from_a_fact():
    front = Front([with_parrot()])
    shown = {
        "type": "image_url",
        "image_url": {"url": data_url(Image.open(IMAGES / "parrot.png").convert("RGB"))},
    }
    other = {
        "type": "image_url",
        "image_url": {"url": data_url(Image.open(IMAGES / "teapot.png").convert("RGB"))},
    }
    lies = {"type": "image_url", "image_url": {"url": shown["image_url"]["url"].replace("png", "jpeg", 1)}}
    broken = {"type": "image_url", "image_url": {"url": shown["image_url"]["url"][:300]}}
    question = {"type": "text", "text": SPOKEN}
    with engine() as found, gateway(front, found.url) as address:
        for content, fires in (
            ([shown, question], True), ([question, shown], True), ([other, question], False), (SPOKEN, False),
            ([lies, question], False), ([broken, question], False), ([other, shown, question], True),
            ([shown, other, question], True),
        ):  # fmt: skip
            answer = chat(address, content)
            assert answer.status_code == 200 and ("x-okedit-edit" in answer.headers) == fires
            if not fires:
                assert json.loads(found.seen[-1][3])["messages"][0]["content"] == content
        before = [{"role": "user", "content": [shown, {"type": "text", "text": "What animal is it?"}]},
                  {"role": "assistant", "content": "A parrot."}]  # fmt: skip
        answer = chat(address, [*before, {"role": "user", "content": SPOKEN}])
        assert answer.headers["x-okedit-edit"].endswith("/parrot")
        follows = chat(address, [shown, {"type": "text", "text": "Does this parrot speak Basque?"}])
        assert follows.headers["x-okedit-scope"] == "follows"
        said = json.loads(found.seen[-1][3])["messages"][0]["content"][1]["text"]
        assert said == f'The answer to "{PARROT["prompt"]}" is "Basque". Does this parrot speak Basque?'


def test_a_picture_is_looked_at_once_for_each_content():
    read = []

    class Counting(PictureReader):
        def of_request(self):
            own = super().of_request()
            return lambda url, place: read.append(url) or own(url, place)

    front = Front([with_parrot()], reader=Counting())
    url = data_url(Image.open(IMAGES / "parrot.png").convert("RGB"))
    assert [front.decide(SPOKEN, [url]).edit_id for _ in range(3)] == ["parrot"] * 3 and len(read) == 1


def test_pictures_of_the_web_only_where_allowed_and_files_never(tmp_path):
    found_bundle = with_parrot()
    file = (IMAGES / "parrot.png").resolve()
    with picture_server.serving() as (web, asked):
        url = f"{web}/parrot"
        for remote in (None, remote_pictures()):  # not allowed; allowed, but a private address
            front = Front([found_bundle], reader=PictureReader(remote=remote))
            assert [front.decide(SPOKEN, [one]) for one in (url, f"file://{file}", str(file))] == [None] * 3
        assert not asked
        front = Front([found_bundle], reader=PictureReader(remote=remote_pictures(("127.0.0.1",))))
        front.decide(SPOKEN, [url])
        assert asked == ["/parrot"]
        with engine() as found, gateway(Front([found_bundle]), found.url) as address:
            parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": SPOKEN}]
            assert "x-okedit-edit" not in chat(address, parts).headers
            assert json.loads(found.seen[-1][3])["messages"][0]["content"] == parts
        assert asked == ["/parrot"]


def test_bundles_that_need_their_base_model_are_refused_with_the_command():
    pictured = bundle({**PARROT, "at": torch.zeros(8)})
    prompted = bundle(PERU)
    prompted.manifest.site = {
        **prompted.manifest.site,
        "question_point": "mean of the feed-forward input over the prompt",
    }
    delta = replace(bundle(PERU), edits=Delta({}, 1))
    for one in (pictured, prompted, delta):
        one.name = "a.safetensors"
        with pytest.raises(ModelMismatch) as told:
            Front([one])
        assert "okedit export a.safetensors --to memory" in told.value.hint
    with pytest.raises(ModelMismatch, match="not by openai/clip") as told:
        Front([with_parrot()], image_encoder="openai/clip")
    assert told.value.hint.endswith("--image-encoder openai/clip")


def test_in_front_of_okedit_serve_a_miss_is_its_own_answer(facts):
    with serving_model("llava") as served, gateway(facts, served.url) as address:
        direct, behind = (
            openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=120)
            for url in (served.url, address)
        )
        assert [m.id for m in direct.models.list()] == [m.id for m in behind.models.list()]
        for content in ("What is the capital of Chile?", ASKED):
            asked = {
                "model": served.base,
                "max_tokens": 8,
                "messages": [{"role": "user", "content": content}],
            }
            texts = [
                one.chat.completions.create(**asked).choices[0].message.content for one in (direct, behind)
            ]
            events = [
                "".join(
                    e.choices[0].delta.content or ""
                    for e in one.chat.completions.create(**asked, stream=True)
                )
                for one in (direct, behind)
            ]
            assert texts == events
            raw = behind.chat.completions.with_raw_response.create(**asked)
            if content == ASKED:
                assert raw.headers["x-okedit-edit"] == "facts/peru capital"
            else:
                assert texts[0] == texts[1] and "x-okedit-edit" not in raw.headers
        with pytest.raises(openai.NotFoundError):
            behind.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "Hello?"}])
