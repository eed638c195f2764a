"""Shards of an evaluation put together: the result of one run, byte by byte."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from fake_bench import FakeBench, cases
from typer.testing import CliRunner

from okedit_cli.bundle.manifest import BundleWarning
from okedit_cli.cli.app import build
from okedit_cli.errors import InvalidFacts, UsageError
from okedit_cli.evaluate import DataSet, Plan, Result, evaluate_on
from okedit_cli.evaluate.shards import merged


def made(folder: Path, name: str, mode: str = "single", seed: int = 0, **options) -> Path:
    path = folder / f"{name}.json"
    data = DataSet(Path("facts.yaml"), "facts", tuple(cases(5)), "0" * 64)
    evaluate_on(FakeBench(telling="truth"), data, plan=Plan(mode, seed=seed), out=path, **options)
    return path


@pytest.mark.parametrize("mode", ["single", "bundle"])
def test_all_shards_are_the_whole_byte_by_byte(tmp_path, mode):
    whole = made(tmp_path, "whole", mode)
    parts = [str(made(tmp_path, f"part-{n}", mode, shard=(n, 3))) for n in (3, 1, 2)]
    found = CliRunner().invoke(build(), ["merge", *parts, "-o", str(tmp_path / "merged.json")])
    assert found.exit_code == 0, found.stderr
    assert (tmp_path / "merged.json").read_bytes() == whole.read_bytes()
    again = CliRunner().invoke(build(), ["eval", "--from", str(whole)])
    assert found.stdout == again.stdout


def test_shards_that_are_missing_are_named_and_can_come_later(tmp_path):
    whole = made(tmp_path, "whole")
    parts = [Result.load(made(tmp_path, f"part-{n}", shard=(n, 4))) for n in (1, 2, 3, 4)]
    with pytest.warns(BundleWarning, match="2 of 4 shards are missing: 2, 4"):
        some = merged([parts[2], parts[0]], ["c", "a"])
    some.save(tmp_path / "some.json")
    assert "shard 1, 3 of 4" in some.name
    with warnings.catch_warnings():
        warnings.simplefilter("error", BundleWarning)
        merged([Result.load(tmp_path / "some.json"), parts[1], parts[3]], ["s", "b", "d"]).save(
            tmp_path / "all.json"
        )
    assert (tmp_path / "all.json").read_bytes() == whole.read_bytes()


def test_what_is_no_shard_or_of_another_run_is_refused(tmp_path):
    one, other = (Result.load(made(tmp_path, f"part-{n}", shard=(n, 2), seed=n)) for n in (1, 2))
    with pytest.raises(InvalidFacts, match="a and b are shards of two evaluations"):
        merged([one, other], ["a", "b"])
    with pytest.raises(InvalidFacts, match="whole is a whole evaluation"):
        merged([one, Result.load(made(tmp_path, "whole"))], ["a", "whole"])
    value = json.loads((tmp_path / "part-1.json").read_text())
    value["shard"]["parts"] = [1, 2]
    (tmp_path / "odd.json").write_text(json.dumps(value))
    with pytest.raises(InvalidFacts, match="not what it holds"):
        merged([Result.load(tmp_path / "odd.json"), one], ["odd", "a"])


def test_edits_that_are_held_at_once_are_not_shared_out(tmp_path):
    with pytest.raises(UsageError, match="cannot be shared out"):
        made(tmp_path, "part", "sequential", shard=(1, 2))


def test_more_shards_than_cases_leave_some_empty(tmp_path):
    parts = [Result.load(made(tmp_path, f"part-{n}", shard=(n, 7))) for n in range(1, 8)]
    merged(parts, [str(n) for n in range(7)]).save(tmp_path / "merged.json")
    assert (tmp_path / "merged.json").read_bytes() == made(tmp_path, "whole").read_bytes()
