"""Calls to addresses that tenants name. They lead to the internet, or to the networks that WEBHOOK_NETWORKS lists, and nowhere else.

A name is resolved once for a connection, every address that it has is looked at, and the connection goes to an address that was:
a second answer of the name server, or a redirect, leads nobody into our own networks. The certificate must be the name's.
Sources: OWASP, Server Side Request Forgery Prevention; RFC 6890 (special addresses), RFC 6052 (NAT64), RFC 3056 (6to4).
"""

import ssl
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import AF_UNSPEC, SOCK_STREAM, gaierror, getaddrinfo
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore
from django.conf import settings

Address = IPv4Address | IPv6Address
LONGEST_URL = 2000  # characters
TOTAL_SECONDS = 10.0  # of one call, from the name server's answer to the last byte that is read
RESOLVE_SECONDS = 1.0  # within a request, whose transaction waits meanwhile
MOST_READ = 64 * 1024  # bytes of an answer: nobody needs them, but who is hung up on may count that as a failure
NAT64 = IPv6Network("64:ff9b::/96")
_names = ThreadPoolExecutor(8, thread_name_prefix="names")  # getaddrinfo knows no time limit


class Refused(Exception):
    """A URL that nothing is sent to; its text ends the sentence that begins with the URL, and is for the tenant's eyes."""


class Answer(NamedTuple):
    """How a call went. `status`: HTTP's, None where there was no answer; `error`: a word for why not; `milliseconds`: what it took."""

    status: int | None
    error: str
    milliseconds: int

    @property
    def is_good(self) -> bool:
        """Whether the other side has it."""
        return self.status is not None and 200 <= self.status < 300


def refuse_bad(url: str) -> None:
    """Raises Refused for a URL that we would not call: its form, or where its name leads at this moment."""
    parts = _parts(url)
    _allowed(_resolve(str(parts.hostname), _port(parts), RESOLVE_SECONDS), encrypted=parts.scheme == "https")


def is_public(address: Address) -> bool:
    """Whether it is an address of the internet; one that carries another is what it carries."""
    inner = _carried(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False))


class Line:
    """Calls one after another, over one connection where the other side keeps it. Not to be shared by threads."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._way = _Way()
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls or _tls(), max_connections=1, keepalive_expiry=5.0, retries=0, network_backend=self._way
        )

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.close()

    def post(self, url: str, headers: dict[str, str], content: bytes, seconds: float = TOTAL_SECONDS) -> Answer:
        """POST this, within so many seconds in all. No redirect is followed, and no answer is kept. Raises nothing."""
        began = time.monotonic()
        self._way.begin(seconds, encrypted=url.startswith("https:"))
        status, error = None, ""
        try:
            _parts(url)
            with self._pool.stream("POST", url, headers=list(headers.items()), content=content) as response:
                status = int(response.status)
                _read(response.iter_stream())
        except Refused:
            error = "refused_address"
        except httpcore.TimeoutException:
            status, error = None, "timeout"
        except httpcore.ConnectError as problem:
            error = "tls" if isinstance(problem.__context__, ssl.SSLError) else "unreachable"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol):
            error = "broken_off" if status is None else ""
        return Answer(status, error, round((time.monotonic() - began) * 1000))


class _Way(httpcore.NetworkBackend):
    """The way of one Line: checks where it leads, and when its time is over."""

    def __init__(self) -> None:
        self._sockets = httpcore.SyncBackend()
        self.ends_at, self.encrypted = 0.0, True

    def begin(self, seconds: float, *, encrypted: bool) -> None:
        """A call begins, which may take so long."""
        self.ends_at, self.encrypted = time.monotonic() + seconds, encrypted

    def left(self, late: type[httpcore.TimeoutException]) -> float:
        """Seconds that the call has still. Raises `late` when there are none."""
        seconds = self.ends_at - time.monotonic()
        if seconds <= 0:
            raise late
        return seconds

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: Any = None
    ) -> httpcore.NetworkStream:
        """A connection to one of the name's addresses, all of which are allowed. Raises Refused."""
        addresses = _allowed(_resolve(host, port, self.left(httpcore.ConnectTimeout)), encrypted=self.encrypted)
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            try:
                share = self.left(httpcore.ConnectTimeout) / (1 - last)  # the next address gets its time too
                return _Timed(self._sockets.connect_tcp(str(address), port, share, local_address, socket_options), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == 0:
                    raise
        raise httpcore.ConnectError  # a name without an address; _allowed refuses it

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> httpcore.NetworkStream:
        """No URL leads there."""
        raise Refused("is no address of the internet")


class _Timed(httpcore.NetworkStream):
    """A stream every step of which takes from the time of the whole call: who sends a byte now and then gains nothing."""

    def __init__(self, stream: httpcore.NetworkStream, way: _Way) -> None:
        self._stream, self._way = stream, way

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._way.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._way.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, self._way.left(httpcore.ConnectTimeout)), self._way)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _parts(url: str) -> Any:
    """A URL's parts. Raises Refused for a form that we do not call."""
    if len(url) > LONGEST_URL or not all("!" <= letter <= "~" and letter != "\\" for letter in url):
        raise Refused(f"must be a URL in ASCII of at most {LONGEST_URL} characters")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise Refused("must be a URL such as https://crm.example.com/events")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Refused("must name neither a user nor a fragment")
    return parts


def _port(parts: Any) -> int:
    return int(parts.port or (443 if parts.scheme == "https" else 80))


def _resolve(host: str, port: int, seconds: float) -> list[Address]:
    """Every address of a name, or the one that it spells. Raises Refused."""
    asked = _names.submit(getaddrinfo, host, port, AF_UNSPEC, SOCK_STREAM)
    try:
        found = asked.result(seconds)
    except (gaierror, UnicodeError, OSError) as problem:  # a TimeoutError is an OSError
        asked.cancel()
        raise Refused("has a host that is not to be found") from problem
    return list(dict.fromkeys(ip_address(socket_address[0]) for *_, socket_address in found))


def _allowed(addresses: Iterable[Address], *, encrypted: bool) -> list[Address]:
    """These addresses, if each of them is allowed: where one leads astray, the name does. Raises Refused."""
    found = list(addresses)
    for address in found:
        ours = any(place in network for network in settings.WEBHOOK_NETWORKS for place in (address, _carried(address)) if place)
        if not ours and not is_public(address):
            raise Refused("leads to a private network, where nothing is sent")
        if not ours and not encrypted:
            raise Refused("must begin with https")
    if not found:
        raise Refused("has a host that is not to be found")
    return found


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address that stands in an IPv6 one, which a gateway or the kernel would take in its place."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _read(chunks: Iterable[bytes]) -> None:
    """Take an answer's body in, up to MOST_READ."""
    read = 0
    for chunk in chunks:
        read += len(chunk)
        if read > MOST_READ:
            return


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # to read all the authorities takes a while
