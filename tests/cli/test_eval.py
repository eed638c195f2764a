"""okedit eval without a model: options, exit codes, what goes where."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_bench import FakeBench

import okedit_cli
from okedit_cli.evaluate import bench_of, evaluate_on


@pytest.fixture
def bench(world, monkeypatch):
    """The fake bench in the model's place; its last options are kept on it."""
    bench = FakeBench()
    bench.as_asked = False  # whether it says of itself what a model's bench would

    def evaluate(loaded, data, *, plan, limit, out, replace, skip_bad, progress, **options):
        bench.options = {"plan": plan, **options}
        if bench.as_asked:
            words = bench_of(None, seed=plan.seed, **options).describe()
            bench.describe = lambda: {"model": {"name": "fake"}, **words}
        return evaluate_on(bench, data, plan=plan, limit=limit, out=out, replace=replace, progress=progress)

    monkeypatch.setitem(okedit_cli.__dict__, "evaluate", evaluate)
    Path("facts.yaml").write_text(
        "version: 1\nfacts:\n"
        "  - {id: cat, image: cat.png, prompt: Who is it, answer: Miso, holdout: [{prompt: Its name}]}\n"
        "  - {id: boss, prompt: Who leads, answer: Ada, keep: [{prompt: Who wrote it}]}\n"
    )
    return bench


def test_a_table_on_stdout_and_talk_on_stderr(okedit, bench):
    result = okedit("eval", "facts.yaml", "--html", "report.html")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"Rel +100\.0 \[34-100\].* 2 +2", result.stdout) and "none/edit" in result.stdout
    assert "data: 2 cases (facts)" in result.stderr and "report.html" in result.stderr
    assert Path("results/facts-balancedit-single.json").exists() and Path("report.html").exists()
    assert bench.options["plan"].mode == "single" and bench.options["method"] == "balancedit"


def test_json_has_figures_and_no_answers(okedit, bench):
    result = okedit("eval", "facts.yaml", "--json", "-q", "-o", "r.json")
    [found] = json.loads(result.stdout)["results"]
    assert found["figures"] and "answers" not in found and result.stderr == ""
    assert json.loads(Path("r.json").read_text())["answers"]


def test_from_scores_again_without_a_model(okedit, bench, world):
    first = okedit("eval", "facts.yaml", "-o", "r.json")
    world.opened = {}
    again = okedit("eval", "--from", "r.json", "--from", "r.json")
    assert again.exit_code == 0 and world.opened == {} and again.stdout == first.stdout * 2


def test_bars(okedit, bench):
    met = ["--min-rel", "100", "--min-near", "99"]
    assert okedit("eval", "facts.yaml", "-o", "r.json", *met).exit_code == 0
    result = okedit("eval", "--from", "r.json", "--min-holdout", "50")
    assert result.exit_code == 6 and "Holdout 0.0 is below 50 (single)" in result.stderr
    assert "Rel" in result.stdout
    assert okedit("eval", "--from", "r.json", "--min-rel", "0.9").exit_code == 2
    assert okedit("eval", "--from", "r.json", "--min-i-gen", "5").exit_code == 2


def test_sequential_with_edits_and_gaps(okedit, bench):
    result = okedit("eval", "facts.yaml", "--sequential", "--edits", "1,2", "--gap", "1")
    plan = bench.options["plan"]
    assert result.exit_code == 0 and (plan.edits, plan.gaps) == ((1, 2), (1,))
    assert [line for line in result.stdout.splitlines() if "percent" in line] == [
        f"memo on facts.yaml, {stage} (percent, 95 % intervals)"
        for stage in ("sequential 1", "sequential 2", "gap 1 of 2")
    ]


@pytest.mark.parametrize(
    "words",
    [
        [], ["facts.yaml", "--from", "r.json"], ["facts.yaml", "--edits", "3"],
        ["facts.yaml", "--layer", "x"],
        ["facts.yaml", "--sequential", "--edits", "9"], ["facts.yaml", "--sequential", "--gap", "many"],
        ["facts.yaml", "--sample", "5"], ["facts.yaml", "--sequential", "--sample", "0"],
        ["facts.yaml", "--format", "csv"], ["facts.yaml", "--limit", "0"],
    ],
)  # fmt: skip
def test_commands_that_make_no_sense(okedit, bench, words):
    assert okedit("eval", *words).exit_code == 2


def test_missing_pictures_and_files(okedit, bench):
    row = {"src": "Q", "alt": "a", "rephrase": "R", "image": "x.png", "image_rephrase": "x.png"}
    Path("data.json").write_text(json.dumps([row, {**row, "image": "cat.png", "image_rephrase": "cat.png"}]))
    result = okedit("eval", "data.json")
    assert result.exit_code == 3 and "row 1: picture not found: x.png" in result.stderr
    result = okedit("eval", "data.json", "--skip-missing")
    assert result.exit_code == 0 and "left out: row 1" in result.stderr
    assert okedit("eval", "nothing.json").exit_code == okedit("eval", "--from", "nothing.json").exit_code == 3


def test_ctrl_c_keeps_what_is_done(okedit, bench):
    bench.stop_after = 6
    result = okedit("eval", "facts.yaml", "-o", "r.json")
    assert result.exit_code == 130 and "r.json.journal" in result.stderr and not Path("r.json").exists()
    bench.stop_after = None
    assert okedit("eval", "facts.yaml", "-o", "r.json").exit_code == 0
    assert not Path("r.json.journal").exists()


def test_a_bundle_is_evaluated_as_it_is(okedit, bench):
    Path("b.safetensors").write_bytes(b"fits")
    assert okedit("eval", "facts.yaml", "-b", "b.safetensors").exit_code == 0
    assert bench.options["plan"].mode == "bundle" and bench.options["bundles"] == ["b.safetensors"]
    assert Path("results/facts-bundle-bundle.json").exists()


@pytest.mark.parametrize("content, strict, code, words", [
    (b"fits", True, 0, ""), (b"soft", False, 0, "warning: b.safetensors: dtype differs"),
    (b"soft", True, 4, "b.safetensors: Made for another model"), (b"tuned", False, 0, "dtype differs"),
    (b"other", False, 4, "b.safetensors: Made for another model"), (b"no bundle", False, 3, "not a bundle"),
])  # fmt: skip
def test_a_bundle_must_belong_to_the_model(okedit, bench, world, content, strict, code, words):
    Path("b.safetensors").write_bytes(content)
    result = okedit("eval", "facts.yaml", "-b", "b.safetensors", *["--strict"] * strict)
    assert result.exit_code == code and words in result.stderr
    assert Path("results").exists() == (code == 0)
    assert bool(world.opened) == (content != b"no bundle")  # told before a model is loaded


def test_results_of_other_data_and_settings_stay(okedit, bench, world):
    bench.as_asked = True
    for _ in range(2):  # the same evaluation again replaces its result
        assert okedit("eval", "facts.yaml", "-o", "r.json").exit_code == 0
    before, world.opened = Path("r.json").read_bytes(), {}
    Path("more.yaml").write_text(Path("facts.yaml").read_text().replace("Miso", "Momo"))
    for words in (
        ["more.yaml"], ["facts.yaml", "--limit", "1"], ["facts.yaml", "--seed", "1"],
        ["facts.yaml", "--no-forced"], ["facts.yaml", "--method", "none"],
        ["facts.yaml", "--max-tokens", "8"], ["facts.yaml", "--one-hop"],
    ):  # fmt: skip
        result = okedit("eval", *words, "-o", "r.json")
        assert result.exit_code == 2 and "another evaluation" in result.stderr, words
        assert world.opened == {} and Path("r.json").read_bytes() == before
    assert okedit("eval", "more.yaml", "-o", "r.json", "--force").exit_code == 0
    assert Path("r.json").read_bytes() != before


def test_the_journal_of_another_evaluation_stays(okedit, bench):
    bench.stop_after = 3
    assert okedit("eval", "facts.yaml", "-o", "r.json").exit_code == 130
    before, bench.stop_after = Path("r.json.journal").read_bytes(), None
    result = okedit("eval", "facts.yaml", "--seed", "1", "-o", "r.json", "--force")
    assert result.exit_code == 2 and "another run" in result.stderr and not Path("r.json").exists()
    assert Path("r.json.journal").read_bytes() == before
    assert okedit("eval", "facts.yaml", "-o", "r.json").exit_code == 0


def test_two_evaluations_without_a_name_given_have_two_results(okedit, bench):
    Path("more").mkdir()
    Path("more/cat.png").write_bytes(Path("cat.png").read_bytes())
    for folder, answer in ((".", "Miso"), ("more", "Momo")):
        text = Path("facts.yaml").read_text().replace("Miso", answer)
        Path(folder, "facts.yaml").write_text(text)
        assert okedit("eval", f"{folder}/facts.yaml").exit_code == 0
    assert okedit("eval", "facts.yaml", "--limit", "1").exit_code == 0
    found = {path.name: path.read_bytes() for path in Path("results").iterdir()}
    assert len(found) == 3 and "facts-balancedit-single.json" in found
    # the same ones again: the same names, nothing more
    for words in (["facts.yaml"], ["more/facts.yaml"], ["facts.yaml", "--limit", "1"]):
        assert okedit("eval", *words).exit_code == 0
    assert {path.name: path.read_bytes() for path in Path("results").iterdir()} == found


def test_other_pictures_of_the_same_names_are_another_evaluation(okedit, bench):
    from PIL import Image

    assert okedit("eval", "facts.yaml").exit_code == 0
    Image.new("RGB", (8, 6), "blue").save("cat.png")
    assert okedit("eval", "facts.yaml").exit_code == 0
    assert len(list(Path("results").iterdir())) == 2


def test_a_stopped_evaluation_keeps_its_name(okedit, bench):
    assert okedit("eval", "facts.yaml").exit_code == 0
    bench.stop_after = 3
    stopped = okedit("eval", "facts.yaml", "--seed", "1")
    [journal] = Path("results").glob("*.journal")
    assert stopped.exit_code == 130 and f"{journal}" in stopped.stderr
    Path("results/facts-balancedit-single.json").unlink()
    bench.stop_after = None
    assert okedit("eval", "facts.yaml", "--seed", "1").exit_code == 0
    assert [path.name for path in Path("results").iterdir()] == [journal.name.removesuffix(".journal")]


def test_what_cannot_be_asked_is_told_by_its_row_before_the_model_is_loaded(okedit, bench, world):
    row = {"src": "Q", "alt": "a", "rephrase": "R", "image": "cat.png", "image_rephrase": "cat.png"}
    Path("bad.png").write_bytes(Path("cat.png").read_bytes()[:40])
    rows = [
        row,
        {**row, "alt": "half \ud83d"},
        {**row, "src": "Q2", "image": "bad.png"},
        {**row, "src": "Q3"},
    ]
    Path("data.json").write_text(json.dumps(rows))
    result = okedit("eval", "data.json")
    assert result.exit_code == 3 and not world.opened and not bench.asked
    assert "row 2: " in result.stderr and "U+D83D" in result.stderr
    assert "row 3: picture bad.png" in result.stderr and "--skip-bad" in result.stderr
    result = okedit("eval", "data.json", "--skip-bad")
    assert result.exit_code == 0 and "data: 2 cases (mmedit), 2 left out" in result.stderr
    assert "left out: row 2: " in result.stderr and "left out: row 3: " in result.stderr
    [found] = [json.loads(path.read_text()) for path in Path("results").iterdir()]
    assert [row for row, _ in found["data"]["left_out"]] == [2, 3] and found["data"]["cases"] == 2


def test_scoring_again_loads_no_model_library(okedit, bench):
    okedit("eval", "facts.yaml", "-o", "r.json")
    code = (
        "import json, sys\nfrom okedit_cli.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert not end.code\n"
        "sys.stderr.write(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    root = Path(__file__).parents[2]
    for words, heavy in ((["--help"], {"torch", "transformers", "numpy", "PIL"}), (
        ["--from", "r.json", "-q"], {"torch", "transformers"},
    )):  # fmt: skip
        command = [sys.executable, "-c", code, "eval", *words]
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(root)}
        )
        assert not set(json.loads(run.stderr.splitlines()[-1])) & heavy
