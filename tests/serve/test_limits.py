"""Bodies, places and keys, over a real server on a loopback port."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

from fastapi import FastAPI, Request  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from serving import linked, running  # noqa: E402

from okedit_cli.errors import InvalidBundle, ModelMismatch, UsageError  # noqa: E402
from okedit_cli.serve import errors  # noqa: E402
from okedit_cli.serve.auth import Keys  # noqa: E402
from okedit_cli.serve.errors import ApiError  # noqa: E402
from okedit_cli.serve.limits import Places, parse_object, read_body  # noqa: E402


def app() -> FastAPI:
    found, places = FastAPI(), Places(1)
    errors.install(found)

    @found.post("/echo")
    async def echo(request: Request):
        return parse_object(await read_body(request, 1000))

    @found.post("/slow")
    async def slow():
        with places.take():
            await asyncio.sleep(0.5)

    @found.get("/fails")
    async def fails(kind: str):
        raise {"bundle": InvalidBundle("a is broken."), "model": ModelMismatch("b is for c.")}.get(
            kind, KeyError("secret")
        )

    return found


@pytest.fixture(scope="module")
def url():
    with running(app()) as address:
        yield address


def test_bodies(url):
    assert httpx.post(f"{url}/echo", content=b'{"a": 1}').json() == {"a": 1}
    for content in (b"x" * 1001, (b"x" * 100 for _ in range(11))):  # announced, and not
        told = httpx.post(f"{url}/echo", content=content)
        assert told.status_code == 413 and told.json()["error"]["code"] == "request_too_large"
    for content in (b"", b"{", b"[1]", b'"a"', b"\xff", b'{"a": NaN}', b"[" * 900, b'{"a":' * 150):
        told = httpx.post(f"{url}/echo", content=content)
        assert told.status_code == 400 and told.json()["error"]["type"] == "invalid_request_error"


def test_a_large_body_is_refused_before_it_is_read(url):
    with linked(url, 10) as link:
        link.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n{")
        assert link.recv(100).startswith(b"HTTP/1.1 413")


def test_errors_of_all_kinds(url):
    for path, method, status in (("/nothing", "GET", 404), ("/echo", "GET", 405), ("/fails", "GET", 400)):
        told = httpx.request(method, url + path)
        assert told.status_code == status and set(told.json()["error"]) == {
            "message",
            "type",
            "param",
            "code",
        }
    assert httpx.get(f"{url}/fails?kind=bundle").json()["error"]["code"] == "invalid_bundle"
    assert httpx.get(f"{url}/fails?kind=model").json()["error"]["code"] == "model_mismatch"
    told = httpx.get(f"{url}/fails?kind=x")
    assert told.status_code == 500 and "secret" not in told.text


def test_places(url):
    async def ask():
        async with httpx.AsyncClient() as client:
            return await asyncio.gather(*(client.post(f"{url}/slow") for _ in range(3)))

    found = asyncio.run(ask())
    assert sorted(one.status_code for one in found) == [200, 429, 429]
    full = next(one for one in found if one.status_code == 429)
    assert full.json()["error"]["type"] == "rate_limit_error" and full.headers["retry-after"]
    assert httpx.post(f"{url}/slow").status_code == 200  # places are given back


def status_of(check, headers) -> int:
    try:
        check(headers)
    except ApiError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("keys", "given", "ask", "change"),
    [
        (Keys(), None, 200, 403),
        (Keys(["a"]), None, 401, 403),
        (Keys(["a"]), "Bearer a", 200, 403),
        (Keys(["a"]), "bearer a", 200, 403),
        (Keys(["a"]), "Basic a", 401, 403),
        (Keys(["a"], "b"), "Bearer a", 200, 403),
        (Keys(["a"], "b"), "Bearer b", 200, 200),
        (Keys(["a"], "b"), "Bearer c", 401, 401),
        (Keys([], "b"), None, 200, 401),
        (Keys(["a"], "b"), "Bearer ", 401, 401),
    ],
)
def test_keys(keys, given, ask, change):
    headers = {"authorization": given} if given else {}
    assert status_of(keys.check, headers) == ask and status_of(keys.check_admin, headers) == change


@pytest.mark.parametrize("given", [(["", "a"],), (["a"], ""), ([], "  "), (["\n"], "b")])
def test_an_empty_key_is_refused(given):
    with pytest.raises(UsageError):
        Keys(*given)


@given(st.binary())
def test_any_body_is_an_object_or_an_error(body):
    try:
        assert isinstance(parse_object(body), dict)
    except ApiError as error:
        assert error.status == 400


def test_a_client_that_leaves_before_its_body_has_come_is_no_failure(url, caplog):
    with linked(url, 20) as link:
        link.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    assert httpx.post(f"{url}/echo", json={"a": 1}, timeout=20).json() == {"a": 1}
    time.sleep(0.2)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
