"""okedit dataset build on the command line, from small archives."""

from __future__ import annotations

import json

import pytest
from dataset.fake_packages import write_archives
from typer.testing import CliRunner

from okedit_cli.cli.app import build


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return write_archives(tmp_path_factory.mktemp("archives") / "all")


def okedit(*words):
    return CliRunner().invoke(build(), ["dataset", *map(str, words)])


def test_it_prints_a_table_of_counts(archives, tmp_path):
    done = okedit("build", tmp_path / "set", "--packages", archives)
    assert done.exit_code == 0, done.output
    head, _, *lines = [line.split() for line in done.stdout.splitlines()]
    assert head == ["split", "drawings", "flags", "stamps", "photographs", "all"]
    assert [line[0] for line in lines] == ["fit", "test"]
    for line in lines:
        rows = json.loads((tmp_path / "set" / f"{line[0]}.json").read_text(encoding="utf-8"))
        assert int(line[-1]) == len(rows) == sum(map(int, line[1:-1]))
    assert "README.md" in done.stderr


def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "none").mkdir()
    for place in ("/proc/set", tmp_path / "file", tmp_path / "file" / "set"):
        done = okedit("build", place, "--packages", tmp_path / "none")  # without a single archive
        assert done.exit_code in (1, 2) and str(place) in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_package_that_is_not_there_is_a_warning_or_with_strict_an_error(archives, tmp_path):
    some = tmp_path / "some"
    some.mkdir()
    for path in archives.glob("emoji*"):
        (some / path.name).write_bytes(path.read_bytes())
    done = okedit("build", tmp_path / "set", "--packages", some, "--quiet", "--json")
    assert (
        done.exit_code == 0 and "tuxpaint-stamps-default" in done.stderr and "without stamps" in done.stderr
    )
    told = json.loads(done.stdout)
    rows = json.loads((tmp_path / "set/test.json").read_text(encoding="utf-8"))
    assert told["cases"]["test"] == {"drawing": len(rows), "flag": 0, "stamp": 0, "photograph": 0}
    assert "world-countries" in told["missing"]
    strict = okedit("build", tmp_path / "other", "--packages", some, "--strict")
    assert strict.exit_code == 1 and not (tmp_path / "other").exists()
    assert strict.stderr.startswith("error: ") and "Traceback" not in strict.stderr


def test_a_folder_with_something_in_it_is_refused(archives, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    done = okedit("build", tmp_path, "--packages", archives)
    assert done.exit_code == 2 and "is not empty" in done.stderr and "--force" in done.stderr
    assert (tmp_path / "mine.txt").exists()
