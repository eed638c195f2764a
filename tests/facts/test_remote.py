"""Pictures by URL: what is fetched, what never is, and what is told."""

from __future__ import annotations

import socket
import time

import pytest
import tiny
from picture_server import png, serving

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts import load_facts
from okedit_cli.facts.pictures import load_picture
from okedit_cli.facts.remote import Remote, is_public

LOCAL = "127.0.0.1"


@pytest.fixture
def web():
    with serving() as found:
        yield found


def test_a_picture_comes_once_and_goes_by_what_is_in_it(web, tmp_path):
    address, asked = web
    fetch = Remote(tmp_path / "kept", [LOCAL])
    paths = [fetch(f"{address}/cat.png"), fetch(f"{address}/cat.png"), fetch(f"{address}/cat.png?small=1")]
    assert len(set(paths)) == 1 and asked == ["/cat.png", "/cat.png?small=1"]
    assert load_picture(paths[0]).tobytes() == tiny.picture().tobytes()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [paths[0].name]


def test_a_host_with_its_port_is_that_port_alone(web, tmp_path):
    address, _ = web
    assert Remote(tmp_path, [address.removeprefix("http://")])(f"{address}/a").read_bytes() == png()
    with pytest.raises(InvalidFacts, match="no public address"):
        Remote(tmp_path, [f"{LOCAL}:1"])(f"{address}/a")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("gone", "the server answers 404"),
        ("page", "picture http://127.0.0.1:.*/page is of a kind"),
        ("cut", "broke off"),
        ("long", "larger than 0.05 MB"),
        ("slow", "did not come within 0.5 seconds"),
        ("drips", "did not come within 0.5 seconds"),
        ("to/", "leads on more than 5 times|no URL|by http and https alone"),
        ("to/file:///etc/passwd", "by http and https alone"),
        ("to/ftp://127.0.0.1/a", "by http and https alone"),
    ],
)
def test_what_is_no_picture_within_limits_is_told_with_its_url(web, tmp_path, path, told):
    began = time.monotonic()
    with pytest.raises(InvalidFacts, match=told) as caught:
        Remote(tmp_path / "kept", [LOCAL], seconds=0.5, most=50_000)(f"{web[0]}/{path}")
    assert caught.value.message.startswith(f"picture {web[0]}/{path} ") and time.monotonic() - began < 3
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("hosts", [(), ["localhost"], ["example.org"]])
def test_this_machine_is_not_asked_unless_it_is_named(web, tmp_path, hosts):
    address, asked = web
    with pytest.raises(InvalidFacts, match="127.0.0.1, which is no public address"):
        Remote(tmp_path, hosts)(f"{address}/cat.png")
    assert not asked


def test_a_redirect_stays_at_the_host_that_was_named(web, tmp_path):
    address, asked = web
    fetch = Remote(tmp_path, [LOCAL])
    assert fetch(f"{address}/to//cat.png") == fetch(f"{address}/to/{address}/cat.png")
    with serving() as (other, theirs):
        with pytest.raises(InvalidFacts, match="no public address"):
            fetch(f"{address}/to/{other}/cat.png")
        assert not theirs


def test_every_address_of_a_name_counts_and_the_one_looked_at_is_asked(web, tmp_path, monkeypatch):
    address, asked = web
    port = int(address.rpartition(":")[2])
    answers = [["93.184.216.34", LOCAL], [LOCAL]]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, at, **options: [(2, 1, 6, "", (one, at)) for one in answers.pop(0)],
    )
    with pytest.raises(InvalidFacts, match="photos.test at 127.0.0.1"):
        Remote(tmp_path)(f"http://photos.test:{port}/cat.png")
    assert len(answers) == 1 and not asked  # the name was looked up once


@pytest.mark.parametrize(
    "url", ["http://u:p@example.org/a", "http://", "http://[::1", "http://a b/c", "http://a:x/"]
)
def test_urls_that_are_not_followed(tmp_path, url):
    with pytest.raises(InvalidFacts):
        Remote(tmp_path)(url)


def test_which_addresses_are_public():
    public = "93.184.216.34 2606:2800:220:1::1 ::ffff:93.184.216.34 64:ff9b::5db8:d822".split()
    private = (
        "127.0.0.1 10.0.0.1 192.168.1.1 172.16.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 ::1 "
        "fe80::1%eth0 fc00::1 ff02::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1"
    ).split()
    assert all(map(is_public, public)) and not any(map(is_public, private))


FACTS = """\
version: 1
facts:
  - image: {}
    prompt: Who is it?
    answer: Miso
    keep:
      - {{image: {}, prompt: Who is that?}}
"""


def test_a_fact_file_names_pictures_by_url_where_that_is_allowed(web, tmp_path):
    address, _ = web
    path = tmp_path / "facts.yaml"
    path.write_text(FACTS.format(f"{address}/cat.png", f"{address}/dog.png"))
    with pytest.raises(InvalidFacts, match=r"facts.yaml:3:12: image is the URL .*--allow-remote-images"):
        load_facts(path)
    [fact] = load_facts(path, fetch=Remote(tmp_path / "kept", [LOCAL])).facts
    assert fact.image.read_bytes() == png() and fact.keep[0].image == fact.image
    path.write_text(FACTS.format(f"{address}/gone", "file:///cat.png"))
    with pytest.raises(InvalidFacts) as caught:
        load_facts(path, fetch=Remote(tmp_path / "kept", [LOCAL]))
    first, second = caught.value.message.splitlines()
    assert "3:12: image is the URL" in first and "answers 404" in first
    assert "7:17: image is the URL" in second and "download the picture" in second
