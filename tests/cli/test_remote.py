"""edit, ask and eval with pictures by URL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from picture_server import serving

from okedit_cli.bundle import read_manifest

ALLOWED = ("--allow-remote-images", "--remote-host", "127.0.0.1")


@pytest.fixture
def web(world, monkeypatch, tmp_path):
    monkeypatch.setenv("OKEDIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OKEDIT_REMOTE_HOSTS", raising=False)
    monkeypatch.setattr("okedit_cli.bundle.read_manifest", read_manifest)  # to which facts are no bundle
    with serving() as (address, _):
        text = Path("facts.yaml").read_text().replace("cat.png", f"{address}/cat.png")
        Path("facts.yaml").write_text(text)
        rows = [{"image": f"{address}/a.png", "src": "Q", "alt": "A", "pred": "B", "rephrase": "Q?",
                 "image_rephrase": f"{address}/b.png", "m_loc": f"{address}/c.png", "m_loc_q": "Q",
                 "m_loc_a": "A", "loc": "Q", "loc_ans": "A"}]  # fmt: skip
        Path("data.json").write_text(json.dumps(rows))
        yield address


def test_edit(okedit, world, web):
    refused = okedit("edit", "facts.yaml")
    assert refused.exit_code == 3 and "--allow-remote-images" in refused.stderr and not world.opened
    private = okedit("edit", "facts.yaml", ALLOWED[0])
    assert private.exit_code == 3 and "no public address" in private.stderr and not world.opened
    assert okedit("edit", "facts.yaml", *ALLOWED).exit_code == 0 and world.fitted["facts"] == ["cat", "boss"]


def test_ask(okedit, world, web):
    url = f"{web}/cat.png"
    refused = okedit("ask", "Who?", "--image", url)
    assert (
        refused.exit_code == 3 and "is a URL" in refused.stderr and "--allow-remote-images" in refused.stderr
    )
    env = {"OKEDIT_REMOTE_HOSTS": "127.0.0.1 localhost"}
    assert okedit("ask", "Who?", "--image", url, ALLOWED[0], env=env).exit_code == 0
    assert world.asked[-1][:2] == ("Who?", (40, 32))
    lines = f"/image {url}\nWho?\n/image {web}/gone\nWhat?\n"
    told = okedit("ask", "-i", *ALLOWED, input=lines)
    assert len(world.asked) == 2 and "answers 404" in told.stderr and "was not asked" in told.stderr


@pytest.mark.parametrize("data", ["facts.yaml", "data.json"])
def test_eval(okedit, world, web, data):
    refused = okedit("eval", data, "--method", "none")
    assert refused.exit_code == 3 and "is the URL" in refused.stderr and not world.opened
    world.failure = RuntimeError("far enough")
    assert (
        "1 cases" in (told := okedit("eval", data, "--method", "none", *ALLOWED).stderr) or "2 cases" in told
    )
    assert "far enough" in told
