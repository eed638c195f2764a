"""The rules of the house, checked on the source: which way imports go, what is loaded, how long files are."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "okedit_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 300

# each room may use its own row and the rows above it
ORDER = [
    {"errors", "bounded"},
    {"facts"},
    {"pictures"},
    {"samples", "bank"},
    {"models"},
    {"encoders"},
    {"edits"},
    {"scope"},
    {"methods"},
    {"bundle"},
    {"session"},
    {"generate"},
    {"decodings"},
    {"checking"},
    {"fitting"},
    {"exports"},
    {"evaluate"},
    {"scale"},
    {"dataset"},
    {"serve"},
    {"cli"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()} - {"__init__"}


def room_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return "okedit_cli" if parts == ("__init__",) else parts[0]


def rank(room: str) -> int:
    return RANK[room]


def imported(file: Path) -> set[str]:
    """Every module that file imports anywhere, as an absolute name; not those for type checkers only."""
    package = ("okedit_cli", *file.relative_to(PACKAGE).parts[:-1])
    found: set[str] = set()
    nodes = [ast.parse(file.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def rooms_used(file: Path) -> set[str]:
    names = [name.split(".") for name in imported(file)]
    return {parts[1] for parts in names if parts[0] == "okedit_cli" and len(parts) > 1} & ROOMS


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_file(file):
    room, names = room_of(file), imported(file)
    if room != "okedit_cli":
        backwards = {other for other in rooms_used(file) if rank(other) > rank(room)}
        assert not backwards, f"{room} comes before {backwards}"
    assert not any(name.split(".")[0] == "click" for name in names), "Typer may carry its own click"
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    if file != PACKAGE / "cli" / "output.py":
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        assert "print" not in {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def loaded_by(code: str) -> set[str]:
    """The top-level modules in memory after code ran in a fresh interpreter."""
    code += "\nimport json, sys; sys.stderr.write(json.dumps([name.split('.')[0] for name in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(run.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import okedit_cli; dir(okedit_cli)",
        "import okedit_cli; okedit_cli.load_facts",
        *(
            f"from okedit_cli.cli import main\ntry: main({words})\nexcept SystemExit as e: assert not e.code"
            for words in (
                ["--help"],
                ["--version"],
                ["edit", "--help"],
                ["ask", "--help"],
                ["serve", "--help"],
            )
        ),
    ],
)
def test_what_needs_no_model_loads_no_model_library(code):
    assert not loaded_by(code) & {"torch", "transformers", "safetensors", "numpy", "PIL"}


def test_functions_of_the_api_stay_when_their_modules_are_imported(monkeypatch):
    import types

    import okedit_cli

    def attach():
        pass

    monkeypatch.setitem(okedit_cli.__dict__, "attach", attach)
    okedit_cli.attach = types.ModuleType("okedit_cli.attach")  # as the import system does
    assert okedit_cli.attach is attach


def test_unknown_names_of_the_package_are_attribute_errors():
    import okedit_cli

    with pytest.raises(AttributeError, match="no attribute 'load_modell'"):
        okedit_cli.load_modell  # noqa: B018
