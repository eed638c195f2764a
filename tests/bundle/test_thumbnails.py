"""Thumbnails in bundle files: written where there are any, and checked as everything from strangers is."""

import json

import pytest
import torch
from bundle.factory import join_file, make_bundle, same, seal, split_file

from okedit_cli.bundle import Bundle
from okedit_cli.errors import InvalidBundle


def with_thumbnails(edits=3, side=16):
    bundle = make_bundle(edits)
    noise = torch.Generator().manual_seed(0)
    bundle.codebook.thumbnails = torch.randint(0, 256, (2, side * side), generator=noise, dtype=torch.uint8)
    bundle.codebook.thumbnail_owner = torch.tensor([0, 2])
    return bundle


def test_they_are_written_and_read_bit_for_bit(tmp_path):
    bundle = with_thumbnails()
    bundle.save(tmp_path / "a")
    again = Bundle.load(tmp_path / "a", verify=True)
    assert same(bundle, again) and again.codebook.thumbnail_owner.tolist() == [0, 2]


def test_a_bundle_without_any_is_as_it_always_was(tmp_path):
    make_bundle().save(tmp_path / "a")
    header, _ = split_file((tmp_path / "a").read_bytes())
    assert not [name for name in header if "thumbnail" in name]
    assert not len(Bundle.load(tmp_path / "a").codebook.thumbnails)


@pytest.mark.parametrize(("change", "words"), [
    (lambda b: setattr(b.codebook, "thumbnails", torch.zeros(2, 256)), "uint8"),
    (lambda b: setattr(b.codebook, "thumbnails", torch.zeros(2, 200, dtype=torch.uint8)), "square"),
    (lambda b: setattr(b.codebook, "thumbnails", torch.zeros(3, 256, dtype=torch.uint8)), "thumbnail_owner"),
    (lambda b: setattr(b.codebook, "thumbnail_owner", torch.tensor([0, 3])), "thumbnail_owner"),
    (lambda b: setattr(b.codebook, "thumbnail_owner", torch.tensor([0, -1])), "thumbnail_owner"),
    (lambda b: setattr(b.codebook, "thumbnail_owner", torch.tensor([0.0, 1.0])), "thumbnail_owner"),
])  # fmt: skip
def test_what_a_reader_would_refuse_is_not_written(tmp_path, change, words):
    bundle = with_thumbnails()
    change(bundle)
    with pytest.raises(InvalidBundle, match=words):
        bundle.save(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def forged(path, change):
    """The file with its table and its manifest's table changed, under a checksum that fits."""
    header, body = split_file(path.read_bytes())
    manifest = json.loads(header["__metadata__"]["okedit"])
    for table in (header, manifest["tensors"]):
        change(table)
    header["__metadata__"]["okedit"] = seal(manifest)
    path.write_bytes(join_file(header, body))


@pytest.mark.parametrize("name", ["thumbnails", "thumbnail_owner"])
def test_one_without_the_other_is_refused(tmp_path, name):
    with_thumbnails().save(tmp_path / "a")
    forged(tmp_path / "a", lambda table: table.update({"unheard_of": table.pop(name)}))
    with pytest.raises(InvalidBundle, match=f"{tmp_path}.*{name}"), pytest.warns():
        Bundle.load(tmp_path / "a")


@pytest.mark.parametrize("dtype", ["BOOL", "I8"])
def test_another_dtype_of_one_byte_is_refused(tmp_path, dtype):
    with_thumbnails().save(tmp_path / "a")
    forged(tmp_path / "a", lambda table: table["thumbnails"].update(dtype=dtype))
    with pytest.raises(InvalidBundle, match="thumbnails.*expected U8"):
        Bundle.load(tmp_path / "a")
