"""Pictures by URL, fetched where the user allows it: by http and https, from public addresses, within limits.

A file from a stranger may name any URL, and this machine reaches what the stranger does not: services of the
house, of the machine itself, of a cloud's host. So every address that a name leads to must be public, also
behind a redirect, and the very address that was looked at is the one that is connected to. Hosts that the
user names are reached at any address, but not by a redirect from another host. No proxy is used, since it
would look the names up itself. What comes is not looked at here: pictures.py decodes it.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from okedit_cli.errors import InvalidFacts

MAX_BYTES, SECONDS, REDIRECTS = 32_000_000, 20.0, 5
_AGENT = "okedit"
_MOVED = (301, 302, 303, 307, 308)


class _Refused(Exception):
    """Why a URL is not fetched, in words that follow on "picture URL"."""


@dataclass
class Remote:
    """Fetches pictures into `folder`, each URL once; a file there goes by the sha256 of what is in it.

    `hosts` ("localhost", "192.168.0.9:8000") are reached although their addresses are not public; a host
    without a port stands for all of its ports.
    """

    folder: Path
    hosts: Collection[str] = ()
    seconds: float = SECONDS
    most: int = MAX_BYTES
    _kept: dict[str, Path | InvalidFacts] = field(default_factory=dict, repr=False)

    def __call__(self, url: str) -> Path:
        """The picture's file. InvalidFacts: it cannot be fetched, and why."""
        if url not in self._kept:
            try:
                self._kept[url] = self._put(url, self.read(url))
            except InvalidFacts as error:
                self._kept[url] = error
        found = self._kept[url]
        if isinstance(found, InvalidFacts):
            raise InvalidFacts(found.message, hint=found.hint)
        return found

    def read(self, url: str) -> bytes:
        """What the URL gives. InvalidFacts: it cannot be fetched, and why."""
        found: list[bytes | Exception] = []
        sockets: list[socket.socket] = []

        def fetch() -> None:
            try:
                found.append(self._follow(url, sockets))
            except Exception as error:  # told below, in the thread that asked
                found.append(error)

        # in a thread: neither looking a name up nor a server that sends a byte now and then has a limit
        thread = threading.Thread(target=fetch, name="picture", daemon=True)
        thread.start()
        thread.join(self.seconds)
        if thread.is_alive():
            for one in sockets:  # to close what a thread is reading from would wait for that thread
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            raise _told(url, f"did not come within {self.seconds:g} seconds")
        result = found[0]
        if isinstance(result, bytes):
            return result
        raise _told(url, _why(result)) from None

    def _put(self, url: str, data: bytes) -> Path:
        from okedit_cli.facts.pictures import load_picture

        load_picture(data, name=url)  # an error page is told by its URL
        path = self.folder / hashlib.sha256(data).hexdigest()
        if path.is_file() and path.stat().st_size == len(data):
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
        return path

    def _follow(self, url: str, sockets: list[socket.socket]) -> bytes:
        """What a URL and its redirects lead to; a host of `hosts` counts as such in the URL itself alone."""
        first = None
        for _ in range(REDIRECTS + 1):
            place = _place(url)
            trusted = self._named(place) and (first is None or place.netloc == first.netloc)
            first = first or place
            link = _connected(place, trusted, self.seconds)
            sockets.append(link.sock)
            try:
                target = (place.path or "/") + (f"?{place.query}" if place.query else "")
                link.request("GET", target, headers={"User-Agent": _AGENT, "Accept": "image/*, */*;q=0.1",
                                                     "Accept-Encoding": "identity"})  # fmt: skip
                answer = link.getresponse()
                if answer.status not in _MOVED:
                    return self._body(answer)
                url = urljoin(url, answer.getheader("Location") or "")
            finally:
                link.close()
        raise _Refused(f"leads on more than {REDIRECTS} times")

    def _body(self, answer: http.client.HTTPResponse) -> bytes:
        if answer.status != 200:
            raise _Refused(f"cannot be fetched: the server answers {answer.status} {answer.reason}".rstrip())
        data = answer.read(self.most + 1)
        if len(data) > self.most:
            raise _Refused(f"is larger than {self.most / 1e6:g} MB")
        if answer.length:
            raise _Refused("broke off before its end")
        return data

    def _named(self, place: SplitResult) -> bool:
        hosts = {host.strip().casefold().strip("[]") for host in self.hosts}
        name = (place.hostname or "").casefold()
        return name in hosts or f"{name}:{_port(place)}" in hosts


def _place(url: str) -> SplitResult:
    """A URL's parts; _Refused unless they name a web server and no password."""
    try:
        place = urlsplit(url)
        _port(place)
    except ValueError:
        raise _Refused("is no URL that can be read") from None
    if place.scheme not in ("http", "https") or not place.hostname:
        raise _Refused("is fetched by http and https alone")
    if "@" in place.netloc:
        raise _Refused("holds a user name, expected a URL without one")
    if any(sign <= " " or sign >= "\x7f" for sign in url):
        raise _Refused("holds signs that must be written as %XX in a URL")
    return place


def _port(place: SplitResult) -> int:
    return place.port or (443 if place.scheme == "https" else 80)


def _connected(place: SplitResult, trusted: bool, seconds: float) -> http.client.HTTPConnection:
    """A connection to one of the host's addresses, all of which are public unless it is `trusted`."""
    found = socket.getaddrinfo(place.hostname, _port(place), type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(sockaddr[:2] for *_, sockaddr in found))
    private = next((host for host, _ in addresses if not trusted and not is_public(host)), None)
    if private:
        raise _Refused(
            f"leads to {place.hostname} at {private}, which is no public address, so it is not fetched"
        )
    link = http.client.HTTPConnection(place.hostname, _port(place), timeout=seconds)
    link.default_port = 443 if place.scheme == "https" else 80  # which goes without saying
    for number, address in enumerate(addresses):
        try:
            link.sock = socket.create_connection(address, seconds)
            break
        except OSError:
            if number == len(addresses) - 1:
                raise
    if place.scheme == "https":
        link.sock = ssl.create_default_context().wrap_socket(link.sock, server_hostname=place.hostname)
    return link


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, whichever form of IPv6 it is wrapped in."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
        elif any(found in block for block in _INNER):
            return False
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# IPv4 in older wrappings, networks' own NAT64, and site-local addresses: Python calls some of them global
_INNER = [
    ipaddress.ip_network(block) for block in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10")
]


def _why(error: Exception) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, socket.gaierror):
        return "cannot be fetched: its host is not known, or there is no network"
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "verify_message", "") or error.reason
        return f"cannot be fetched: the connection is not secure ({why})"
    if isinstance(error, http.client.HTTPException):
        return "cannot be fetched: its host does not speak HTTP as it should"
    return f"cannot be fetched: {getattr(error, 'strerror', None) or error or type(error).__name__}"


def _told(url: str, why: str) -> InvalidFacts:
    return InvalidFacts(f"picture {url} {why}.", hint="download the picture and name the file.")
