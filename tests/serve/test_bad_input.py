"""What is wrong with a request is told in one sentence, with OpenAI's JSON and the right status."""

from __future__ import annotations

import base64
import time

import httpx
import pytest
import tiny
from fitted import OTHER, WORDS, fitted
from picture_server import png, serving
from serving import data_url, linked, serving_model

from okedit_cli.serve.auth import Keys
from okedit_cli.serve.decoding import Sampling
from okedit_cli.serve.engine import Ask, answer
from okedit_cli.serve.limits import Limits
from okedit_cli.serve.messages import Conversation, Turn


def refused(response, status: int, *words: str) -> dict:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith(".") and "\n" not in error["message"]
    assert all(word in error["message"] for word in words), error["message"]
    assert "Traceback" not in response.text
    return error


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": 2**64}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": 3}, "stop"),
        ({"stop": "a" * 501}, "stop"),
        ({"stop": ["a", "a" * 501]}, "stop"),
        ({"n": 2}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"model": 3}, "model"),
        ({"messages": "hello"}, "messages"),
    ],
)
def test_fields(client, fields, param):
    assert refused(client.chat(WORDS, **fields), 400)["param"] == param


def test_null_is_as_if_not_given(client):
    names = (
        "model",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "n",
        "stream",
        "tools",
        "response_format",
        "user",
    )
    assert client.chat(WORDS, **dict.fromkeys(names)).status_code == 200
    assert client.chat(WORDS, unheard_of=1, user="me").status_code == 200


def test_unknown_models(client):
    for model in (
        "gpt-5",
        "",
        f"{client.base}+other",
        f"{client.base}+",
        f"{client.base}+facts+other",
        "x" * 900,
    ):
        assert refused(client.chat(WORDS, model=model), 404)["code"] == "model_not_found"


def test_prompts(client):
    long = refused(client.chat("word " * 100_000), 400)
    assert long["code"] == "context_length_exceeded"
    assert refused(client.chat("a b" * 300), 400)["code"] == "context_length_exceeded"
    found = client.http.post("/v1/completions", json={"prompt": "word " * 100_000})
    assert refused(found, 400)["code"] == "context_length_exceeded"
    refused(client.http.post("/v1/completions", json={"prompt": ""}), 400)
    refused(client.http.post("/v1/completions", content=b'{"prompt": "\\ud800"}'), 400, "surrogate")
    refused(client.http.post("/v1/completions", json={}), 400, "prompt is missing")
    refused(client.chat("Who is <image>?"), 400, "<image>")
    refused(client.chat("Who is <image>?", {"role": "assistant", "content": "He"}, "And?"), 400, "<image>")
    refused(client.chat({"role": "user", "content": ""}), 400)


def test_a_bad_request_leaves_those_beside_it_alone(client):
    good = client.text(OTHER)
    found = client.together([(OTHER, {}), ("word " * 600, {}), ("</s>", {}), (OTHER, {}), ("", {})])
    assert [one.status_code for one in found] == [200, 400, 400, 200, 400]
    assert found[0].json()["choices"][0]["message"]["content"] == good


def test_a_row_that_fails_leaves_those_beside_it_alone(client):
    loaded, told = client.server.bundles.loaded, {}

    def ask(name: str, fails: bool) -> Ask:
        told[name] = []

        def on_text(text: str) -> None:
            if fails:
                raise ValueError("no room")
            told[name].append(text)

        return Ask(Conversation((Turn("user", (OTHER,)),)), Sampling(8), lambda *_: None, on_text,
                   lambda *_: told[name].append("END"), told[name].append)  # fmt: skip

    asks = [ask("a", False), ask("b", True), ask("c", False)]
    assert client.server.worker.change(lambda: answer(loaded, None, asks)).result() is None
    assert "".join(told["a"]) == "".join(told["c"]) and told["a"][-1] == "END" and len(told["a"]) > 1
    assert [type(one) for one in told["b"]] == [ValueError]


def test_the_smallest_temperatures(client):
    good = client.text(OTHER)
    asked = [(OTHER, {}), (OTHER, {"temperature": 1e-300}), (OTHER, {"temperature": 1e-40})]
    found = client.together(asked)
    assert {one.json()["choices"][0]["message"]["content"] for one in found} == {good}


def shown(client, url):
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Who?"}]
    return client.chat({"role": "user", "content": parts})


def test_pictures(client):
    for url in ("file:///etc/passwd", "/etc/passwd", "../../etc/passwd", "http://127.0.0.1/a.png"):
        refused(shown(client, url), 400, "messages.0.content.0.image_url.url")
    broken = base64.b64encode(png()[:70]).decode()
    refused(shown(client, f"data:image/png;base64,{broken}"), 400, "damaged")
    lying = data_url(tiny.picture()).replace("image/png", "image/jpeg")
    refused(shown(client, lying), 400, "image/jpeg", "image/png")


def test_pictures_of_the_web_stay_public():
    from okedit_cli.serve.pictures import remote_pictures

    with serving_model("llava", remote=remote_pictures()) as client, serving() as (address, asked):
        for url in (f"{address}/a.png", "http://localhost/", "http://0x7f.1/", "http://[::ffff:10.0.0.1]/"):
            refused(shown(client, url), 400)
        assert not asked


def test_a_text_model_looks_at_no_picture():
    with serving_model("gpt2") as client:
        refused(client.chat((OTHER, tiny.picture())), 400, "text-only")
        assert client.chat(OTHER).status_code == 200


def test_bodies(client):
    with linked(client.url, 10) as link:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        link.sendall(f"{head}Content-Length: 100000000\r\n\r\n{{".encode())
        assert link.recv(100).startswith(b"HTTP/1.1 413")  # when one byte has come

    def endless():
        for _ in range(100):
            yield b" " * 1_000_000

    refused(client.http.post("/v1/chat/completions", content=endless()), 413)
    for content in (b"", b"[]", b"{", b'{"messages": NaN}', b"\xff\xfe", b"[" * 100_000):
        refused(client.http.post("/v1/chat/completions", content=content), 400)
    refused(client.http.get("/v1/chat/completions"), 405)
    refused(client.http.get("/v1/nothing"), 404)
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd"):
        assert refused(client.http.get(path), 404)


def test_too_many_at_once():
    case = fitted("llava")
    limits = Limits(places=2)
    with serving_model("llava", ("facts", case.bundle), limits=limits) as client:
        found = client.together([("Who?", {"max_tokens": 200, "temperature": 1.9})] * 8)
        status = [one.status_code for one in found]
        assert status.count(200) >= 2 and set(status) == {200, 429}
        full = next(one for one in found if one.status_code == 429)
        assert refused(full, 429)["type"] == "rate_limit_error" and full.headers["retry-after"]
        assert client.chat(WORDS).status_code == 200
        two = [tiny.picture(), tiny.picture("blue")]
        refused(client.chat(*((OTHER, one) for one in two * 5)), 413)


def test_a_client_that_leaves_frees_its_place():
    with serving_model("llava", limits=Limits(places=1), max_tokens=100_000) as client:
        model = client.server.bundles.loaded.model
        model.register_forward_pre_hook(lambda *_: time.sleep(0.03))  # an answer of a quarter of a minute
        body = {
            "messages": [{"role": "user", "content": "Who?"}],
            "max_tokens": 480,
            "temperature": 1.9,
            "stream": True,
        }
        for leaving in (True, False):
            body["stream"] = leaving
            with httpx.Client(base_url=client.url) as other, pytest.raises(httpx.TimeoutException):
                if leaving:
                    with other.stream("POST", "/v1/chat/completions", json=body, timeout=30) as stream:
                        lines = stream.iter_lines()
                        next(lines)
                        refused(client.chat(WORDS), 429)
                    raise httpx.ReadTimeout("left")
                other.post("/v1/chat/completions", json=body, timeout=0.2)
            deadline = time.monotonic() + 20
            while client.server.places.taken and time.monotonic() < deadline:
                time.sleep(0.02)
            assert client.chat("Who?", max_tokens=2).status_code == 200


def test_keys():
    with serving_model("llava", keys=Keys(("secret",), "admin")) as client:
        for headers in (None, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            assert refused(client.chat(WORDS, headers=headers), 401)["code"] == "invalid_api_key"
            refused(client.http.get("/v1/models", headers=headers), 401)
        key = {"Authorization": "Bearer secret"}
        assert client.chat(WORDS, headers=key).status_code == 200
        refused(client.http.get("/v1/bundles", headers=key), 403)
        refused(client.http.delete("/v1/bundles/facts", headers=key), 403)
        assert client.http.get("/v1/bundles", headers={"Authorization": "Bearer admin"}).status_code == 200
        assert client.http.get("/health").status_code == 200 and client.http.get("/").status_code == 200
