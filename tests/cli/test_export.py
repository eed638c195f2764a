"""okedit export, the way back with okedit edit, and what is on the hub."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from bundle.factory import BASE, make_bundle, same
from cli.shipping import FACTS, Fitter, bundle_of, loaded_facts, okedit, refused, said, write_facts
from hub_server import answering, refusing
from huggingface_hub import errors

from okedit_cli.bundle import Bundle, read_manifest
from okedit_cli.bundle.sources import get_sources
from okedit_cli.facts import load_facts


@pytest.fixture
def fitter(monkeypatch, tmp_path):
    """Facts and pictures in an empty working folder, and no model."""
    monkeypatch.chdir(tmp_path)
    write_facts(tmp_path)
    return Fitter(monkeypatch)


@pytest.fixture
def source(fitter):
    """A bundle that holds its pictures."""
    assert okedit("edit", "facts.yaml", "--with-sources", "-o", "b.safetensors").exit_code == 0
    return Path("b.safetensors")


def test_a_fact_file_goes_into_a_bundle_and_comes_back(source):
    result = okedit("export", source, "--to", "out/back.yaml")
    assert (result.exit_code, result.stdout) == (0, "out/back.yaml\n"), result.stderr
    assert loaded_facts(Path("out/back.yaml")) == loaded_facts(Path("facts.yaml"))
    assert load_facts("out/back.yaml").model == "okedit-mini"
    assert len(list(Path("out/back-pictures").iterdir())) == 4 and "warning" not in result.stderr
    # and once more: bundle -> file -> bundle -> file
    assert okedit("edit", "out/back.yaml", "--with-sources", "-o", "c.safetensors").exit_code == 0
    assert read_manifest("c.safetensors").facts == read_manifest(source).facts


def test_pictures_that_the_bundle_lacks_are_named(fitter):
    assert okedit("edit", "facts.yaml", "-o", "b.safetensors").exit_code == 0
    result = okedit("export", "b.safetensors", "--to", "back.yaml")
    assert result.exit_code == 0 and "does not hold the pictures of 1 facts (cat)" in result.stderr
    text = Path("back.yaml").read_text()
    assert (
        text.startswith("# The bundle does not hold these pictures") and "#   cat: not-in-the-bundle-" in text
    )
    assert str(Path.cwd()) not in text
    for line in text.splitlines():
        if "not-in-the-bundle" in line and not line.startswith("#"):
            place = Path(line.split(": ")[-1].strip("- "))
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(Path("cat.png").read_bytes())
    assert said(load_facts("back.yaml").facts, pictures=False) == said(
        load_facts("facts.yaml").facts, pictures=False
    )
    assert json.loads(okedit("export", "b.safetensors", "--to", "x.yaml", "--json").stdout)[
        "missing_pictures"
    ]


def test_refit_for_another_model_from_the_bundle_alone(source, fitter):
    for picture in Path().glob("*.png"):
        picture.unlink()
    result = okedit("edit", "--from", source, "-m", "other/model")
    assert result.exit_code == 0, result.stderr
    assert fitter.opened == "other/model" and fitter.sizes == {"cat": (8, 6)}
    again = Bundle.load("bundles/b-model.safetensors")
    assert again.manifest.facts == read_manifest(source).facts
    assert get_sources(again) == get_sources(Bundle.load(source))  # it can go on to the next model


def test_refit_without_pictures_is_refused_before_the_model_is_loaded(fitter):
    okedit("edit", "facts.yaml", "-o", "b.safetensors")
    fitter.opened = None
    refused(okedit("edit", "--from", "b.safetensors"), 3, "does not hold the pictures of 1 facts: cat")
    refused(okedit("edit", "facts.yaml", "--from", "b.safetensors"), 2, "one or the other")
    refused(okedit("edit"), 2, "Missing argument")
    assert fitter.opened is None


def test_append_adds_and_newer_facts_win(source, fitter):
    Path("more.yaml").write_text("version: 1\nfacts:\n- {id: dean, prompt: Who is dean, answer: Eva}\n")
    fitter.seed = 3
    result = okedit("edit", "more.yaml", "--append", source)
    assert result.exit_code == 0, result.stderr
    assert [fact["id"] for fact in read_manifest(source).facts] == ["cat", "boss", "dean"]
    assert fitter.options["layer"] == 2 and len(get_sources(Bundle.load(source, verify=True))) == 4
    # the same keys again with another answer: a contradiction
    Path("more.yaml").write_text("version: 1\nfacts:\n- {id: dean, prompt: Who is dean, answer: Kim}\n")
    result = okedit("edit", "more.yaml", "--append", source, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["merge"]["dropped"] == ["dean"]
    assert read_manifest(source).facts[-1]["answer"] == "Kim" and len(read_manifest(source)) == 3


@pytest.mark.parametrize(("options", "code", "words"), [
    (["--append", "none.safetensors"], 3, "no such bundle"), (["--append", "facts.yaml"], 2, "no bundle"),
    (["--append", "b.safetensors", "-o", "x"], 2, "-o"),
    (["--append", "b.safetensors", "--layer", "1"], 2, "layer 2"),
    (["--append", "b.safetensors", "--method", "other"], 2, "method balancedit"),
    (["--append", "hf://me/x"], 2, "on the hub"),
])  # fmt: skip
def test_append_refused_before_the_model_is_loaded(source, fitter, options, code, words):
    fitter.opened = None
    refused(okedit("edit", "facts.yaml", *options), code, words)
    assert fitter.opened is None


def test_append_to_a_bundle_of_another_model(source, monkeypatch):
    before = source.read_bytes()
    Fitter(monkeypatch, base={"architecture": "Other", "hidden_size": 8, "layers": 3})
    result = okedit("edit", "facts.yaml", "--append", source)
    assert result.exit_code == 4 and "b.safetensors: The bundle does not belong" in result.stderr
    assert source.read_bytes() == before


def test_append_to_a_bundle_for_other_weights_is_refused_before_the_work(source, monkeypatch):
    fitter = Fitter(monkeypatch, base={**BASE, "weights": "e" * 64})
    result = okedit("edit", "facts.yaml", "--append", source)
    assert result.exit_code == 4 and "weights was" in result.stderr and fitter.facts == ()


def test_a_picture_that_vanishes_meanwhile(fitter, monkeypatch):
    """One sentence, and the earlier bundle stays."""
    make_bundle().save("b.safetensors")
    before, real = Path("b.safetensors").read_bytes(), fitter.fit

    def fit(*rest, **options):
        found = real(*rest, **options)
        Path("side.png").unlink()
        return found

    import okedit_cli

    monkeypatch.setitem(okedit_cli.__dict__, "fit", fit)
    refused(okedit("edit", "facts.yaml", "--with-sources", "-o", "b.safetensors", "-q"), 1, "side.png")
    assert Path("b.safetensors").read_bytes() == before


def test_a_folder_that_may_not_be_written(fitter, monkeypatch):
    def deny(**_):
        raise PermissionError(13, "Permission denied")

    make_bundle().save("b.safetensors")
    before = Path("b.safetensors").read_bytes()
    monkeypatch.setattr("tempfile.mkstemp", deny)
    for command in (["edit", "facts.yaml", "-o", "b.safetensors"], ["remove", "b.safetensors", "fact-1"],
                    ["merge", "b.safetensors", "b.safetensors", "-o", "b.safetensors"]):  # fmt: skip
        result = okedit(*command, "-q")
        assert result.exit_code == 1 and "Permission denied" in result.stderr
        assert "b.safetensors" in result.stderr and "Traceback" not in result.stderr
    assert Path("b.safetensors").read_bytes() == before


def test_no_card_is_found_beside_another_bundle(fitter, monkeypatch):
    """At no moment of a second export into one folder."""
    from okedit_cli.bundle import export

    make_bundle(prefix="old").save("a.safetensors")
    make_bundle(prefix="new").save("b.safetensors")
    assert okedit("export", "a.safetensors", "--to", "out").exit_code == 0
    (Path("out") / "notes.txt").write_text("mine")
    seen, real = [], export.atomic_write

    @contextmanager
    def watched(path):
        with real(path) as handle:
            yield handle
        first = read_manifest("out/bundle.safetensors").facts[0]["id"]
        text = Path("out/README.md").read_text()
        seen.append((first, "old-0" in text, "new-0" in text))

    monkeypatch.setattr(export, "atomic_write", watched)
    assert okedit("export", "b.safetensors", "--to", "out").exit_code == 0
    assert seen == [("old-0", False, False), ("new-0", False, False), ("new-0", False, True)]
    assert (Path("out") / "notes.txt").read_text() == "mine"


def test_an_export_that_was_interrupted_is_taken_up_again(fitter):
    from okedit_cli.bundle.export import BETWEEN

    make_bundle().save("a.safetensors")
    assert okedit("export", "a.safetensors", "--to", "out").exit_code == 0
    Path("out/README.md").write_bytes(BETWEEN)
    assert okedit("export", "a.safetensors", "--to", "out").exit_code == 0
    assert "fact-0" in Path("out/README.md").read_text()


def test_a_folder_for_the_hub(source):
    result = okedit("export", source, "--to", "out")
    assert (result.exit_code, result.stdout) == (0, "out\n")
    assert sorted(path.name for path in Path("out").iterdir()) == ["README.md", "bundle.safetensors"]
    assert same(Bundle.load("out/bundle.safetensors", verify=True), Bundle.load(source))
    card = Path("out/README.md").read_text()
    assert card.startswith("---\nlibrary_name: okedit\n") and "base_model" not in card
    for line in card.splitlines():  # what a reader copies
        if line.startswith(("import ", "from ")):
            exec(line, {})
    assert "| cat | Who is it? | Miso | " in card and "no \\| yes" in card  # a bar in an answer ends no cell
    assert "okedit ask" in card and "Bundle.load" in card and "holds the 4 pictures" in card
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]
    assert okedit("export", source, "--to", "out").exit_code == 0  # an earlier export is replaced


def test_names_from_strangers_are_only_text(fitter):
    bundle = make_bundle(1)
    bundle.manifest.base["name"] = "me/x\n---\n# Hi; rm -rf"
    bundle.manifest.facts[0] |= {"id": "../../<b>x</b>`", "answer": "a | [b](c)\n# d", "picture_sha256": None}
    bundle.save("b.safetensors")
    assert okedit("export", "b.safetensors", "--to", "out").exit_code == 0
    card = Path("out/README.md").read_text()
    assert card.count("\n---\n") == 1 and "\n# Hi" not in card and "\n# d" not in card
    assert "<b>" not in card and "&lt;b&gt;" in card and "[b](c)" not in card and "-m me" not in card
    assert okedit("export", "b.safetensors", "--to", "x.yaml").exit_code == 0
    assert load_facts("x.yaml").facts[0].id == "b-x-b"


@pytest.mark.parametrize("change", [
    {"rephrases": [7]}, {"rephrases": ["  "]}, {"keep": [1]}, {"keep": [{"prompt": 3}]}, {"images": [{}]},
    {"related": [{"prompt": "x"}]}, {"picture_sha256": "../../etc/passwd"}, {"images": ["/etc/passwd"]},
    {"holdout": [{"prompt": "x", "picture_sha256": 5}]},
])  # fmt: skip
def test_facts_that_are_none_are_refused(fitter, change):
    bundle = make_bundle(1)
    bundle.manifest.facts[0] |= change
    bundle.save("b.safetensors")
    refused(okedit("export", "b.safetensors", "--to", "x.yaml"), 3, "b.safetensors: fact 'fact-0'")
    assert not Path("x.yaml").exists()


def test_what_is_there_stays(source):
    Path("mine").mkdir()
    Path("mine/README.md").write_text("mine")
    refused(okedit("export", source, "--to", "mine"), 2, "stays as it is")
    refused(okedit("export", source, "--to", "facts.yaml"), 2, "stays as it is")
    refused(okedit("export", source, "--to", "cat.png"), 2, "is a file")
    refused(okedit("export", source, "--to", "out", "--private"), 2, "--private")
    assert Path("mine/README.md").read_text() == "mine" and Path("facts.yaml").read_text() == FACTS


def test_a_damaged_bundle_is_not_exported(source):
    data = bytearray(source.read_bytes())
    data[-9] ^= 1
    source.write_bytes(data)
    refused(okedit("export", source, "--to", "out"), 3, "checksum")
    assert not Path("out").exists()


@pytest.fixture(autouse=True)
def hub_within_reach(monkeypatch):
    with answering(monkeypatch):
        yield


class Hub:
    """One repository: what is in it, what was asked of it."""

    def __init__(self, monkeypatch, files: dict[str, Path], failure: Exception | None = None) -> None:
        self.files, self.failure, self.asked, self.pushed = files, failure, [], {}
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: self)

    def download(self, repo, name, local_files_only=False):
        self.asked.append((repo, name))
        if self.failure:
            raise self.failure
        if name not in self.files:
            raise response(errors.RemoteEntryNotFoundError, 404)
        return str(self.files[name])

    def list_repo_files(self, repo):
        return [*self.files, "README.md"]

    def create_repo(self, repo, *, private, exist_ok):
        if self.failure:
            raise self.failure
        self.pushed["private"] = private

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        self.pushed |= {"repo": repo_id, **{path.name: path.read_bytes() for path in folder_path.iterdir()}}


def response(kind: type, status: int) -> Exception:
    """An error of the hub's, made without the HTTP library that it happens to use."""
    error = kind.__new__(kind)
    Exception.__init__(error, "refused")
    error.response = SimpleNamespace(status_code=status)
    return error


def test_bundles_come_from_the_hub(source, monkeypatch):
    hub = Hub(monkeypatch, {"bundle.safetensors": source})
    assert "2 edits" in okedit("show", "hf://me/x").stdout
    assert okedit("verify", "hf://me/x").exit_code == 0
    assert okedit("merge", "hf://me/x", source, "-o", "m.safetensors").exit_code == 0
    assert okedit("remove", "hf://me/x", "cat", "-o", "m.safetensors").exit_code == 0
    assert okedit("export", "hf://me/x", "--to", "m.yaml").exit_code == 0
    assert okedit("edit", "--from", "hf://me/x", "-o", "m.safetensors").exit_code == 0
    assert set(hub.asked) == {("me/x", "bundle.safetensors")}
    refused(okedit("remove", "hf://me/x", "cat"), 2, "on the hub")


def test_a_repository_with_another_file(source, monkeypatch):
    hub = Hub(monkeypatch, {"cats.safetensors": source})
    assert okedit("show", "hf://me/x").exit_code == 0
    assert okedit("show", "hf://me/x/sub/cats.safetensors").exit_code == 1
    assert hub.asked[-1] == ("me/x", "sub/cats.safetensors")
    hub.files = {"a.safetensors": source, "b.safetensors": source}
    refused(okedit("show", "hf://me/x"), 3, "2 .safetensors files")


@pytest.mark.parametrize(("failure", "words"), [
    (errors.LocalEntryNotFoundError("no"), "the hub cannot be reached"),
    (ConnectionError("no"), "the hub cannot be reached"),
    (response(errors.RepositoryNotFoundError, 404), "no such repository"),
    (response(errors.GatedRepoError, 403), "access"), (response(errors.HfHubHTTPError, 401), "hf auth login"),
    (response(errors.HfHubHTTPError, 500), "the hub refused"), (errors.HFValidationError("bad"), "refused"),
])  # fmt: skip
def test_what_the_hub_refuses_is_one_sentence(source, monkeypatch, failure, words):
    Hub(monkeypatch, {}, failure)
    refused(okedit("show", "hf://me/x"), 1, "hf://me/x: ", words)
    refused(okedit("export", source, "--to", "hf://me/x"), 1, "hf://me/x: ", words)


def test_a_hub_out_of_reach(source, monkeypatch):
    Hub(monkeypatch, {}, errors.LocalEntryNotFoundError("no"))
    with refusing(monkeypatch):
        refused(okedit("show", "hf://me/x"), 1, "the hub cannot be reached")
        refused(okedit("export", source, "--to", "hf://me/x"), 1, "nothing can be uploaded")


def test_push(source, monkeypatch):
    hub = Hub(monkeypatch, {})
    result = okedit("export", source, "--to", "hf://me/x", "--private")
    assert (result.exit_code, result.stdout) == (0, "https://huggingface.co/me/x\n"), result.stderr
    assert hub.pushed["repo"] == "me/x" and hub.pushed["private"]
    assert hub.pushed["bundle.safetensors"] == source.read_bytes()
    assert b"-b hf://me/x" in hub.pushed["README.md"]


@pytest.mark.parametrize("place", ["hf://me", "hf://", "hf://me/../x", "hf://me/x/../y", "hf://me//x"])
def test_no_place_on_the_hub(source, place):
    refused(okedit("show", place), 2, "no place on the hub")
    refused(okedit("export", source, "--to", place), 2, "no place on the hub")


def test_ask_takes_a_bundle_from_the_hub(source, monkeypatch):
    Hub(monkeypatch, {}, errors.LocalEntryNotFoundError("no"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(okedit("ask", "Who?", "-b", "hf://me/x"), 1, "hf://me/x: not in the local cache")


def test_a_manifest_lists_every_picture(source):
    fact = bundle_of(load_facts("facts.yaml").facts).manifest.facts[0]
    assert fact["keep"][1]["picture_sha256"] == fact["picture_sha256"]  # the fact's own picture
    assert fact["keep"][2]["picture_sha256"] is None and fact["related"][0]["answer"] == "M"
    assert fact["holdout"][0]["picture_sha256"] in {one["sha256"] for one in read_manifest(source).sources}
