"""Names, flags, stamps, splits, archives."""

from __future__ import annotations

import io
import tarfile

import pytest
from dataset.fake_packages import art

from okedit_cli.dataset.archives import members
from okedit_cli.dataset.flags import lands
from okedit_cli.dataset.splits import split
from okedit_cli.dataset.stamps import ROOT, stamps, wanted
from okedit_cli.dataset.things import Thing, code, fold, stock
from okedit_cli.errors import SetupError


def thing(key, *accepted, near="mammals"):
    return Thing(key, key.partition("/")[0], accepted, "animal", "animal", ("mammal",), near, b"")


def test_codes_are_compared_without_variation_selectors():
    assert code("1F3F3-FE0F") == code("1f3f3") and code("0023-FE0F-20E3") == "23-20e3"


def test_names_are_compared_without_article_case_and_hyphen():
    assert fold("The T-Rex") == fold("t rex") != fold("rex")


def test_every_sort_in_the_stocks_has_words_for_its_kind():
    sorts = set(stock("things")["sorts"])
    used = {about["sort"] for about in stock("things")["subgroups"].values()}
    used |= {about["sort"] for about in stock("stamps")["folders"].values()}
    used |= {about["sort"] for about in stock("stamps")["sorts"].values()}
    assert used <= sorts


def test_stamps_take_plain_descriptions_and_leave_sentences_out():
    files = {}
    for path, text in {
        "animals/birds/cuckoo": "A cuckoo.",
        "animals/birds/x1": "Penguins are wining!",
        "clothes/x2": "A pair of binoculars.",
        "animals/birds/nandou": "A rhea.",
        "nowhere/x3": "A thing.",
        "symbols/math/plus": "A plus.",
    }.items():
        files |= {f"{ROOT}{path}.png": art(path), f"{ROOT}{path}.txt": text.encode()}
    found = stamps({name: data for name, data in files.items() if wanted(name)})
    assert [(t.key, t.name, t.sort) for t in found] == [
        ("stamp/animals/birds/cuckoo", "cuckoo", "animal"),
        ("stamp/animals/birds/nandou", "rhea", "animal"),
        ("stamp/clothes/x2", "binoculars", "clothing"),
    ]
    assert "nandu" in found[1].accepted


def test_facts_of_a_country_that_are_not_plain_are_left_empty():
    row = {"unMember": True, "region": "Europe", "subregion": "", "languages": {"a": "Français"}}
    rows = [
        {**row, "cca2": "AA", "capital": ["A", "B"], "currencies": {"X": {"name": "Swiss franc"}}},
        {**row, "cca2": "RU", "capital": ["Moscow"], "currencies": {"X": {"name": "a"}, "Y": {"name": "b"}}},
        {
            **row,
            "cca2": "MX",
            "capital": ["M"],
            "currencies": {},
            "region": "Americas",
            "subregion": "North America",
        },
    ]
    import json

    found = lands({"countries.json": json.dumps(rows).encode()})
    assert found["AA"].capital == () and found["AA"].currency == ("Swiss franc", "franc")
    assert found["AA"].language == ("Français", "Francais")
    assert found["RU"].continent == () and found["RU"].currency == ()
    assert found["MX"].capital == ("Mexico City",) and found["MX"].continent[0] == "North America"


def test_things_that_could_be_called_the_same_go_the_same_way():
    things = [thing(f"drawing/{n}", f"d{n}", f"shared{n}") for n in range(40)]
    things += [thing(f"stamp/{n}", f"s{n}", f"Shared{n}") for n in range(40)]
    things += [thing("drawing/bird", "bird"), *(thing(f"photograph/{n}", "bird") for n in range(40))]
    for seed in range(5):
        found = split(things, {"bird": "test"}, seed)
        where = {t.key: (name, t in part.edited) for name, part in found.items() for t in part.all}
        assert all(where[f"drawing/{n}"] == where[f"stamp/{n}"] for n in range(40))
        assert where["drawing/bird"] == ("test", True)
        assert len(set(where.values())) == 4
        # one photograph is edited, in the split of its class; only the other split shows some as near ones
        birds = [where[f"photograph/{n}"] for n in range(40) if f"photograph/{n}" in where]
        assert birds.count(("test", True)) == 1 and set(birds) == {("test", True), ("fit", False)}
        assert len(where) == len(things) - 40 + len(birds)
        [bird] = [t for t in found["test"].edited if t.kind == "photograph"]
        assert len(bird.others) == 4


def test_archives_that_are_broken_or_of_another_kind_are_named(tmp_path):
    for name, data, word in (
        ("a.tgz", b"nothing", "is not an archive"),
        ("a.deb", b"nothing", "does not begin with"),
        ("b.deb", b"!<arch>\n", "has no data.tar"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SetupError, match=word) as error:
            members(tmp_path / name, lambda name: True)
        assert name in error.value.message
    with pytest.raises(SetupError, match="cannot be read"):
        members(tmp_path / "none.tgz", lambda name: True)


def test_an_archive_cut_short_is_named(archives, tmp_path):
    whole = (archives / "openmoji-1.0.0.tgz").read_bytes()
    (tmp_path / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SetupError, match="is not an archive"):
        members(tmp_path / "cut.tgz", lambda name: True)


def test_only_plain_files_that_are_wanted_are_read(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        link = tarfile.TarInfo("package/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name in ("package/a.png", "package/b.txt"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
    assert members(tmp_path / "a.tgz", lambda name: name.endswith(".png")) == {"a.png": b"abc"}
    monkeypatch.setattr("okedit_cli.dataset.archives.MAX_MEMBER", 2)
    with pytest.raises(SetupError, match=r"a\.png is larger"):
        members(tmp_path / "a.tgz", lambda name: name.endswith(".png"))
