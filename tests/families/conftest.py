"""An option of the families' tests: `--families-table FILE` writes what the run found (table.py)."""

from __future__ import annotations

from pathlib import Path


def pytest_addoption(parser) -> None:
    parser.addoption("--families-table", type=Path, help="write the table of families into this file")


def pytest_runtest_logreport(report) -> None:
    if "test_families.py" in report.nodeid:
        from families import table

        table.note(report)


def pytest_sessionfinish(session) -> None:
    # where all tests are run this file is read too late for its option to be known
    file = session.config.getoption("--families-table", default=None)
    if file is not None:
        from families import table

        table.write(file)
