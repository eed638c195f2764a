"""Bundles added, exchanged and removed while requests are answered, and what is refused."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import httpx
import pytest
from bundle.factory import make_bundle
from fitted import PARIS, WORDS, fact, fit, fitted, load, with_radius
from serving import ADMIN, serving_model

from okedit_cli.serve.limits import Limits

LYON = "Lyon."


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with bundles of the tiny model: paris, lyon, and what is none or does not belong to it."""
    folder = tmp_path_factory.mktemp("bundles")
    case = fitted("llava")
    case.bundle.save(folder / "paris.safetensors")
    loaded = load("llava")
    lyon = fit(loaded, [fact("capital", WORDS, LYON)]).bundle
    with_radius(lyon, 0.8).save(folder / "lyon.safetensors")
    make_bundle().save(folder / "foreign.safetensors")
    whole = (folder / "paris.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-100])
    (folder / "changed.safetensors").write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    (folder / "text.safetensors").write_text("no bundle")
    (folder / "below").mkdir()
    (folder / "below" / "deep.safetensors").write_bytes(whole)
    outside = tmp_path_factory.mktemp("outside") / "secret.safetensors"
    outside.write_bytes(whole)
    (folder / "link.safetensors").symlink_to(outside)
    return folder


@pytest.fixture
def client(files):
    with serving_model("llava", bundle_dir=files, limits=Limits(bundle=5_000_000)) as found:
        found.http.headers.update(ADMIN)
        yield found


def names(client) -> list[str]:
    return [one["id"] for one in client.http.get("/v1/bundles").json()["data"]]


def put(client, path: str, **more) -> httpx.Response:
    return client.http.post("/v1/bundles", json={"path": path, **more})


def test_add_exchange_and_remove(client, files):
    before = client.text(WORDS)
    added = put(client, "paris.safetensors", name="facts")
    assert added.status_code == 201 and added.json()["id"] == "facts" and added.json()["edits"] == 2
    assert client.text(WORDS) == PARIS and names(client) == ["facts"]
    with (files / "lyon.safetensors").open("rb") as file:
        changed = client.http.post("/v1/bundles?name=facts", content=file)
    assert changed.status_code == 200 and client.text(WORDS) == LYON and names(client) == ["facts"]
    assert client.text(WORDS, model=client.base) == before
    put(client, "below/deep.safetensors")
    assert names(client) == ["facts", "deep"]
    base = client.base
    told = [one["id"] for one in client.http.get("/v1/models").json()["data"]]
    assert told == [base, f"{base}+facts", f"{base}+deep", f"{base}+facts+deep"]
    assert client.text(WORDS, model=f"{base}+facts") == LYON
    assert client.text(WORDS, model=f"{base}+deep") == PARIS
    assert client.text(WORDS, model=f"{base}+facts+deep") == client.text(WORDS) == PARIS  # the newest wins
    for name in ("facts", "deep"):
        assert client.http.delete(f"/v1/bundles/{name}").json()["deleted"] is True
    assert client.text(WORDS) == before and names(client) == []
    assert client.http.delete("/v1/bundles/facts").status_code == 404
    assert client.chat(WORDS, model=f"{base}+facts").status_code == 404


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("foreign.safetensors", "model_mismatch"),
        ("cut.safetensors", "invalid_bundle"),
        ("changed.safetensors", "invalid_bundle"),
        ("text.safetensors", "invalid_bundle"),
        ("missing.safetensors", None),
        ("../outside/secret.safetensors", None),
        ("/etc/passwd", None),
        ("link.safetensors", None),
        ("below", None),
        ("below/../../../../etc/passwd", None),
        ("\0", None),
        ("a" * 400, None),
        ("hf://owner/name", None),
    ],
)
def test_what_is_refused_changes_nothing(client, files, path, code):
    put(client, "paris.safetensors")
    for name in ("paris", "other"):
        told = put(client, path, name=name)
        error = told.json()["error"]
        assert told.status_code == 400 and error["code"] == code, told.text
        assert str(files) not in told.text and str(client.server.folder) not in told.text
        assert "/etc" not in error["message"].replace(path, "") and "\n" not in error["message"]
    assert names(client) == ["paris"] and client.text(WORDS) == PARIS
    assert not list(client.server.folder.iterdir())


def test_requests_that_name_no_bundle(client):
    for body in ({}, {"path": 3}, {"path": ""}, {"path": "a", "name": "../x"}, {"path": "a", "more": 1}):
        assert client.http.post("/v1/bundles", json=body).status_code == 400
    for name in ("", "?name=", "?name=../x", "?name=a%2Bb", "?name=a/b"):
        assert client.http.post(f"/v1/bundles{name}", content=b"x").status_code == 400
    large = client.http.post("/v1/bundles?name=a", content=(b"x" * 1_000_000 for _ in range(6)))
    assert large.status_code == 413 and not list(client.server.folder.iterdir())
    assert httpx.post(f"{client.url}/v1/bundles", json={"path": "a"}).status_code == 401


def test_a_change_that_nobody_waits_for_ends_no_thread(client):
    worker, began, go_on = client.server.worker, threading.Event(), threading.Event()
    running = worker.change(lambda: (began.set(), go_on.wait(30)))
    waiting = worker.change(lambda: 2)
    assert began.wait(30) and not running.cancel() and waiting.cancel()
    go_on.set()
    assert worker.change(lambda: 3).result(30) == 3 and worker.alive and running.result()


def test_a_slow_upload_keeps_nobody_from_changing_bundles(files):
    with serving_model("llava", bundle_dir=files, limits=Limits(seconds=3)) as client:
        client.http.headers.update(ADMIN)
        with socket.create_connection(client.url.removeprefix("http://").split(":"), 20) as link:
            head = "POST /v1/bundles?name=slow HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin\r\n"
            link.sendall(f"{head}Content-Length: 1000\r\n\r\nx".encode())
            assert put(client, "paris.safetensors").status_code == 201
            link.setblocking(False)
            with pytest.raises(BlockingIOError):  # it is still being read
                link.recv(1)
            link.settimeout(20)
            assert link.recv(100).startswith(b"HTTP/1.1 408")
        assert names(client) == ["paris"] and not list(client.server.folder.iterdir())


def test_without_a_folder_nothing_is_read_by_its_path(files):
    with serving_model("llava") as client:
        told = client.http.post(
            "/v1/bundles", json={"path": str(files / "paris.safetensors")}, headers=ADMIN
        )  # fmt: skip
        assert told.status_code == 400 and "--bundle-dir" in told.json()["error"]["message"]


def test_a_file_that_is_written_over_is_no_matter(client, files):
    whole = (files / "paris.safetensors").read_bytes()
    (files / "mine.safetensors").write_bytes(whole)
    put(client, "mine.safetensors")
    (files / "mine.safetensors").write_bytes(bytes(len(whole)))
    assert client.text(WORDS) == PARIS


def test_exchanged_under_load(client):
    """Every answer is that of one bundle or the other, and says which; none fails."""
    put(client, "paris.safetensors", name="facts")
    over, seen, wrong = threading.Event(), [], []

    def ask() -> None:
        with httpx.Client(base_url=client.url, timeout=60) as http:
            while not over.is_set():
                body = {"messages": [{"role": "user", "content": WORDS}], "max_tokens": 8}
                found = http.post("/v1/chat/completions", json=body)
                if found.status_code != 200:
                    wrong.append(found.text)
                    return
                said = found.json()["choices"][0]["message"]["content"]
                edits = found.json()["okedit"]["edit"]
                seen.append(said)
                if said not in (PARIS, LYON) or edits != "capital":
                    wrong.append(said)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(12):
            name = ("lyon", "paris")[turn % 2]
            assert put(client, f"{name}.safetensors", name="facts").status_code == 200
            assert put(client, "cut.safetensors", name="facts").status_code == 400
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong and {*seen} == {PARIS, LYON}


def test_several_of_the_command_line_keep_their_order(files):
    case = fitted("llava")
    with serving_model("llava", ("a", case.bundle), ("b", replace(case.bundle))) as client:
        found = client.chat(WORDS)
        assert client.text(WORDS) == PARIS and found.headers["x-okedit-edit"].split("/")[0] in ("a", "b")
