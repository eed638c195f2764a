"""Requests made from the server's own OpenAPI schema: none fails it, and every answer is as it says."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import ADMIN

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")


ROUTES = [("GET", "/health"), ("GET", "/metrics"), ("GET", "/v1/models"), ("GET", "/v1/models/{name}"),
          ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("GET", "/v1/bundles"),
          ("POST", "/v1/bundles"), ("DELETE", "/v1/bundles/{name}")]  # fmt: skip


@pytest.fixture(scope="module")
def schema(client):
    return schemathesis.openapi.from_url(f"{client.url}/openapi.json")


def test_no_route_is_left_out(schema):
    assert len(ROUTES) == schema.statistic.operations.total


@pytest.mark.parametrize(("method", "path"), ROUTES)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_route(client, schema, method, path, data):
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    case = data.draw(schema[path][method].as_strategy())
    checks = [not_a_server_error, response_schema_conformance, status_code_conformance]
    case.call_and_validate(base_url=client.url, headers=ADMIN, checks=checks, timeout=60)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = ("model", "max_tokens", "temperature", "top_p", "seed", "stop", "n", "stream", "messages", "prompt",
          "stream_options", "logit_bias", "tools", "response_format", "max_completion_tokens")  # fmt: skip


@given(st.dictionaries(st.sampled_from(fields), anything, max_size=5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_fields(client, body, sound):
    """A sound question with anything else beside it, or anything at all."""
    if sound:
        body = {"messages": [{"role": "user", "content": "Who?"}], "prompt": "Who?", "max_tokens": 2, **body}
        body["max_tokens"] = body["max_tokens"] if not isinstance(body["max_tokens"], int) else 2
    for path in ("/v1/chat/completions", "/v1/completions"):
        found = client.http.post(path, content=json.dumps(body).encode())
        assert found.status_code in (200, 400, 404, 413), found.text
        if found.status_code != 200:
            assert set(found.json()["error"]) == {"message", "type", "param", "code"}
