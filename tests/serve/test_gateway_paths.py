"""Paths that the gateway sends on as they are written, and those that it refuses."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

from engine import engine  # noqa: E402
from serve.test_gateway import gateway  # noqa: E402
from serving import linked  # noqa: E402


@pytest.fixture(scope="module")
def prefixed():
    """(engine, address of a gateway in front of its folder tenantA)."""
    with engine() as found, gateway(f"{found.url}/tenantA/v1", key="theirs") as address:
        yield found, address


def raw(address: str, line: str) -> tuple[int, bytes]:
    """Status and body of the answer to a request line, which no client tidies up."""
    with linked(address, 60) as link:
        link.sendall(f"{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        said = b""
        while more := link.recv(100_000):
            said += more
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    "line",
    [
        "GET /../tenantB/secret",
        "GET /%2e%2E/tenantB/secret",
        "GET /..%2ftenantB/secret",
        "GET /..%5CtenantB/secret",
        "GET /..;a=b/tenantB/secret",
        "GET /v1/..",
        "POST /v1/./chat/completions",
        "POST /v1/%2e/chat/completions",
        "POST /x/../v1/chat/completions",
        "OPTIONS *",
        "GET http://evil.example/v1/models",
        "GET @evil.example/x",
        "GET /v1/a#b",
        "GET /v1/a?b#c",
        "GET /" + "a" * 70_000,
    ],
)
def test_a_path_that_could_leave_the_engines_own_is_refused(prefixed, line):
    found, address = prefixed
    before = len(found.seen)
    status, body = raw(address, line)
    error = json.loads(body)["error"]
    assert status == 400 and error["type"] == "invalid_request_error" and error["message"].count(". ") == 0
    assert len(found.seen) == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/{a}|b^`",
        "/v1/a%20b%2Fc?d={e}&f=%zz\"<>'",
        "//evil.example/x",
        "/v1/..a/...?x=../y",
        "/a:b@c",
    ],
)
def test_any_other_path_goes_on_byte_for_byte(prefixed, path):
    found, address = prefixed
    status, _ = raw(address, f"GET {path}")
    assert status == 200 and found.seen[-1][1] == f"/tenantA{path}"
