"""The gateway hands on what no fact is about: bytes, streams, errors and faults of an engine on loopback."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import time

import httpx
import pytest

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

from engine import dropping, engine, talking  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from scope.held import bundle  # noqa: E402
from serving import linked, running  # noqa: E402

from okedit_cli.errors import UsageError  # noqa: E402
from okedit_cli.serve.auth import Keys  # noqa: E402
from okedit_cli.serve.front import Front  # noqa: E402
from okedit_cli.serve.gateway import Gateway, Settings  # noqa: E402
from okedit_cli.serve.limits import Limits  # noqa: E402
from okedit_cli.serve.upstream import Upstream  # noqa: E402

post = functools.partial(httpx.post, timeout=60)  # machines may be busy
MISS = "What is the capital of Chile?"


@contextlib.contextmanager
def gateway(url: str, *, timeout: float = 20.0, key: str | None = None, **given):
    """The address of a gateway with one fact in front of an engine."""
    front = Front([bundle({"id": "peru", "prompt": "What is the capital of Peru?", "answer": "Cusco"})])
    front.open_encoders()
    with running(Gateway(front, Upstream(url, timeout=timeout, key=key), Settings(**given))) as address:
        yield address


@pytest.fixture(scope="module")
def both():
    """(engine, address of a gateway in front of it)."""
    with engine() as found, gateway(found.url + "/v1") as address:
        yield found, address


def asking(model: str = "m", **fields) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": MISS}], **fields}


def passed(headers) -> list:
    """Headers but those of one connection, and those in which two servers may differ."""
    out = ("date", "server", "transfer-encoding", "connection")
    return sorted((name.lower(), value) for name, value in headers.multi_items() if name.lower() not in out)


ODD = (
    b'{ "messages":[ {"content":"What is the capital of Chile? \\u00e9\xc3\xa9", "role":"user"}],'
    b'\n "top_p":1.0, "x":1e400}'
)


@pytest.mark.parametrize(
    "content", [ODD, json.dumps(asking()).encode(), b'{"model": "packs", "a": NaN', b"\xff"]
)
def test_a_miss_is_what_the_engine_is_sent_and_what_it_answers(both, content):
    found, address = both
    headers = [("X-Mine", "a"), ("X-Mine", "b"), ("Authorization", "Bearer k"), ("Connection", "X-Hop"),
               ("X-Hop", "1"), ("TE", "trailers"), ("Content-Type", "application/json")]  # fmt: skip
    answers = []
    for url in (found.url, address):
        answers.append(post(f"{url}/v1/chat/completions?a=1&b=%2F", content=content, headers=headers))
    (direct, sent), (behind, handed) = zip(answers, found.seen[-2:], strict=True)
    assert handed[:2] == sent[:2] and handed[3] == sent[3] == content
    assert dict(handed[2])[b"authorization"] == b"Bearer k" and b"x-hop" not in dict(handed[2])
    assert [v for n, v in handed[2] if n == b"x-mine"] == [b"a", b"b"]
    assert behind.status_code == direct.status_code and behind.content == direct.content
    assert passed(behind.headers) == passed(direct.headers)


@pytest.mark.parametrize("model", ["streams", "babbles", "fails", "packs"])
def test_answers_of_every_kind_come_as_the_engine_gives_them(both, model):
    found, address = both
    raw = []
    for url in (found.url, address):
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=asking(model), timeout=60) as answer:
            raw.append((answer.status_code, passed(answer.headers), b"".join(answer.iter_raw())))
    assert raw[0] == raw[1]


def test_other_paths_and_methods_pass_with_their_bodies(both):
    found, address = both
    assert httpx.get(f"{address}/v1/models").json()["model"] == "echo"
    httpx.put(f"{address}/v1/files/a%20b", content=(b"x" * 1000 for _ in range(3)))
    method, path, _, body = found.seen[-1]
    assert (method, path, body) == ("PUT", "/v1/files/a%20b", b"x" * 3000)
    assert httpx.head(f"{address}/v1/models").status_code == 200
    assert post(f"{address}/v1/chat/completions/", json=asking()).status_code == 200


def test_events_come_as_they_are_made(both):
    found, address = both
    found.go_on.clear()
    with httpx.stream("POST", f"{address}/v1/chat/completions", json=asking("waits"), timeout=60) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"data: first\n\n"
        found.go_on.set()
        assert b"".join(pieces) == b"data: second\n\n"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/other"])
@pytest.mark.parametrize("model", ["stalls", "halts"])
def test_a_client_that_goes_takes_its_request_with_it(both, path, model):
    found, address = both
    found.left.clear()
    before, content = len(found.seen), json.dumps(asking(model)).encode()
    with linked(address) as link:
        link.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        link.sendall(content)
        for _ in range(600):
            if len(found.seen) > before:
                break
            time.sleep(0.1)
        if model == "halts":
            assert b"200 OK" in link.recv(1000)
    assert found.left.wait(30)


def test_an_engine_that_stalls_is_told_in_time_and_another_goes_on():
    with engine() as found, gateway(found.url, timeout=3) as address:
        told = post(f"{address}/v1/chat/completions", json=asking("stalls"))
        assert told.status_code == 504 and told.json()["error"]["code"] == "upstream_timeout"
        assert found.left.wait(30)
        for model in ("halts", "breaks"):  # what is cut off must not look whole
            with pytest.raises(httpx.RemoteProtocolError):
                post(f"{address}/v1/chat/completions", json=asking(model))
        assert post(f"{address}/v1/chat/completions", json=asking()).status_code == 200


def test_an_engine_that_drops_or_is_not_there():
    with dropping() as url, gateway(url) as address:
        told = post(f"{address}/v1/chat/completions", json=asking())
        assert told.status_code == 502 and told.json()["error"]["type"] == "server_error"
    with gateway(url) as address:  # nobody listens there any more
        told = httpx.get(f"{address}/v1/models")
        assert told.status_code == 502 and told.json()["error"]["code"] == "upstream_unavailable"
        assert httpx.get(f"{address}/health").json()["edits"] == 1


HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (b"HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n", 502, None),
        (b"no HTTP at all\r\n\r\n", 502, None),
        (
            HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            b"hello",
        ),
    ],
)
def test_what_an_engine_says_that_is_no_http_is_told_and_asked_once(said, status, body):
    """Over a kept connection too: only one that was closed is tried again."""
    with talking([WHOLE, said]) as (url, asked), gateway(url) as address, httpx.Client(timeout=60) as client:
        assert client.post(f"{address}/v1/chat/completions", json=asking()).json() == {}
        told = client.post(f"{address}/v1/chat/completions", json=asking())
        assert told.status_code == status and len(asked) == 2
        if body is None:
            assert told.json()["error"]["code"] == "upstream_unavailable"
        else:
            assert told.content == body


def test_chunks_whose_length_is_wrong_arrive_whole(both):
    found, address = both
    content = json.dumps(asking()).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
    with linked(address, 60) as link:
        link.sendall(head + chunks)
        assert link.recv(100).startswith(b"HTTP/1.1 200")
    assert found.seen[-1][3] == content


def test_keys_and_sizes():
    limits = Limits(body=10_000)
    with engine() as found, gateway(found.url, key="theirs", keys=Keys(["ours"]), limits=limits) as address:
        told = post(f"{address}/v1/chat/completions", json=asking())
        assert told.status_code == 401 and told.json()["error"]["code"] == "invalid_api_key"
        assert not found.seen
        headers = {"Authorization": "Bearer ours"}
        assert post(f"{address}/v1/chat/completions", json=asking(), headers=headers).status_code == 200
        assert dict(found.seen[-1][2])[b"authorization"] == b"Bearer theirs"
        for content in (b"x" * 100_000_000, (b"x" * 6000 for _ in range(2))):
            told = post(f"{address}/v1/chat/completions", content=content, headers=headers)
            assert told.status_code == 413 and told.json()["error"]["code"] == "request_too_large"
        assert httpx.get(f"{address}/metrics").text.count('okedit_decisions_total{verdict="miss"} 1.0') == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
def test_a_body_that_does_not_come_gives_its_place_back(path):
    with engine() as found, gateway(found.url, limits=Limits(places=1, seconds=1)) as address:
        with linked(address, 60) as link:
            link.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{".encode())
            said = b""
            while more := link.recv(10_000):
                said += more
        head, _, body = said.partition(b"\r\n\r\n")
        assert b" 408 " in head and "did not come" in json.loads(body)["error"]["message"]
        assert post(f"{address}{path}", json=asking()).status_code == 200


NAMES = st.sampled_from(["messages", "role", "content", "type", "text", "prompt", "image_url", "user"])
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(body=BODIES, path=st.sampled_from(["/v1/chat/completions", "/v1/completions"]))
def test_whatever_is_sent_arrives(both, body, path):
    found, address = both
    content = json.dumps(body).encode()
    answer = post(address + path, content=content)
    assert found.seen[-1][3] == content and answer.status_code in (200, 400)


def test_a_prompt_of_a_hundred_thousand_words_is_judged_and_arrives(both):
    found, address = both
    for words in (f"{'word ' * 100_000}", "a" * 3_000_000):
        content = json.dumps({"messages": [{"role": "user", "content": f"{words} {MISS}"}]}).encode()
        assert post(f"{address}/v1/chat/completions", content=content, timeout=60).status_code == 200
        assert found.seen[-1][3] == content


def test_upstream_must_be_an_address():
    for url in ("localhost:8000", "file:///etc/passwd", "http://", "http://a/?b"):
        with pytest.raises(UsageError, match="no address of a server"):
            Upstream(url)


def test_curl_is_answered_as_without_a_gateway(both):
    found, address = both
    said = [
        subprocess.run(
            ["curl", "-sN", f"{url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d",
             json.dumps(asking(stream=True))], capture_output=True, check=True,
        ).stdout
        for url in (found.url, address)
    ]  # fmt: skip
    assert said[0] == said[1] and said[0].endswith(b"data: [DONE]\n\n")
