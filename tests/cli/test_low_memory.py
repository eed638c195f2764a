"""--low-memory: the same edits and the same answers, read one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from cli.shipping import okedit
from fitted import world

FACTS = """version: 1
facts:
- {id: cat, image: red.png, prompt: What is this cat called?, answer: Miso}
- {id: cup, image: blue.png, prompt: What colour is the cup?, answer: brown}
- {id: capital, prompt: What is the capital of France?, answer: Paris.}
"""
ASKED = [
    ("What is this cat called?", "red.png"),
    ("What is the capital of France?", None),
    ("Who?", "blue.png"),
]


@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_the_same_answers(family, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("facts.yaml").write_text(FACTS)
    tiny.pictures(tmp_path)
    with world():
        model, found = tiny.build(family, tmp_path / family), []
        for flags in ([], ["--low-memory"]):
            made = ["-m", model, "-o", f"{len(flags)}.safetensors", "--over-reach", "--json"]
            result = okedit("edit", "facts.yaml", *made, *flags)
            assert result.exit_code in (0, 5), result.stderr
            rows = json.loads(result.stdout)["facts"]
            said = [{k: row[k] for k in ("id", "took", "positives", "negatives")} for row in rows]
            for prompt, image in ASKED:
                shown = ["--image", image] if image else []
                result = okedit("ask", prompt, *shown, "-m", model, "-b", made[3], "--json", *flags)
                assert result.exit_code == 0, result.stderr
                answer = json.loads(result.stdout)
                said.append((answer["answer"], (answer["verdict"]["hit"] or {}).get("edit_id")))
            found.append(said)
    assert found[0] == found[1]
