"""Where webhooks may lead: the internet, and what the setting names. Looked at when one is made, and again at each connection."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from convalloc import outbound
from convalloc.outbound import Answer, Line, Refused
from tests.conftest import Api, Cast
from tests.webhooks.receiver import LOOPBACK, Receiver

PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2001:db8::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "localhost",
]
PUBLIC = ["1.1.1.1", "93.184.216.34", "[2606:4700:4700::1111]", "[64:ff9b::101:101]", "[::ffff:1.1.1.1]"]


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_is_refused_however_it_is_spelled(host: str) -> None:
    with pytest.raises(Refused, match="private network"):
        outbound.refuse_bad(f"https://{host}/hook")

    with Line() as line:
        assert line.post(f"https://{host}/hook", {}, b"{}").error == "refused_address"


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_is_none_of_these(host: str) -> None:
    assert outbound.is_public(ip_address(host.strip("[]")))
    outbound.refuse_bad(f"https://{host}/hook")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example.com",
        "ftp://1.1.1.1/",
        "file:///etc/passwd",
        "https://",
        "https://user@1.1.1.1/",
        "https://user:word@1.1.1.1/",
        "https://1.1.1.1/#part",
        "https://1.1.1.1:0/",
        "https://1.1.1.1:99999/",
        "https://1.1.1.1/ a",
        "https://1.1.1.1\\@127.0.0.1/",
        "https://1.1.1.1/\r\nHost: x",
        "https://münchen.example/",
        "https://1.1.1.1/" + "x" * 2000,
        "http://1.1.1.1/",  # not encrypted
        "https://nobody.invalid/",
    ],
)
def test_a_url_that_we_would_not_call_is_refused_when_it_is_named(url: str, cast: Cast, api: type[Api]) -> None:
    answer = api(cast.ada).post("/webhooks", url=url)

    assert (answer.status, answer.body["code"], list(answer.fields)) == (400, "validation_failed", ["url"])
    assert api(cast.ada).get("/webhooks").data == []


def test_the_setting_lets_a_network_in_and_no_other(settings: Any) -> None:
    settings.WEBHOOK_NETWORKS = [ip_network("10.1.0.0/16")]

    outbound.refuse_bad("http://10.1.2.3/hook")
    outbound.refuse_bad("http://[::ffff:10.1.2.3]/hook")
    with pytest.raises(Refused):
        outbound.refuse_bad("http://10.2.0.1/hook")


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A name server that answers so, the last one for ever; who was asked for. The operating system's place is taken, none of ours."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(outbound, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_leads_elsewhere_later_is_refused_at_the_connection(receiver: Receiver, settings: Any, monkeypatch: Any) -> None:
    settings.WEBHOOK_NETWORKS = []
    resolving(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    url = f"https://rebinding.example:{receiver.port}/hook"

    outbound.refuse_bad(url)
    with Line() as line:
        answer = line.post(url, {}, b"{}")

    assert (answer.status, answer.error, receiver.got) == (None, "refused_address", [])


def test_a_name_with_one_private_address_among_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["1.1.1.1", "169.254.169.254"])

    with pytest.raises(Refused):
        outbound.refuse_bad("https://mixed.example/")


def test_a_name_is_resolved_once_for_a_connection_and_stays_in_the_host_header(receiver: Receiver, monkeypatch: Any) -> None:
    asked = resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])

    with Line() as line:
        answers = [line.post(f"http://crm.example:{receiver.port}/hook", {"webhook-id": "1"}, b"{}") for _ in range(2)]

    assert [answer.status for answer in answers] == [204, 204]
    assert asked == ["crm.example"]
    assert [got.headers["host"] for got in receiver.got] == [f"crm.example:{receiver.port}"] * 2


def test_the_next_address_of_a_name_is_tried_where_one_does_not_answer(receiver: Receiver, monkeypatch: Any) -> None:
    resolving(monkeypatch, ["127.9.9.9", "127.0.0.1"])

    with Line() as line:
        assert line.post(f"http://crm.example:{receiver.port}/hook", {}, b"{}").status == 204


@contextmanager
def speaking(talk: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on loopback that takes one connection and does this with it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            try:
                line, _ = door.accept()
                with tls.wrap_socket(line, server_side=True) if tls else line as secured:
                    talk(secured)
            except OSError:  # who has hung up
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield door.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def drips(line: socket.socket) -> None:
    """A header that never ends, a byte now and then."""
    line.recv(65536)
    line.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(100):
        line.sendall(b"x")
        time.sleep(0.1)


def floods(line: socket.socket) -> None:
    """An answer without an end."""
    line.recv(65536)
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        line.sendall(b"x" * 65536)


def test_who_sends_a_byte_now_and_then_is_given_up_when_the_whole_time_is_over(settings: Any) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    with speaking(drips) as port, Line() as line:
        began = time.monotonic()
        answer = line.post(f"http://127.0.0.1:{port}/", {}, b"{}", seconds=0.5)
        took = time.monotonic() - began

    assert (answer.status, answer.error) == (None, "timeout")
    assert 0.4 < took < 1.5


def test_of_an_endless_answer_no_more_is_read_than_a_little(settings: Any) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    with speaking(floods) as port, Line() as line:
        answer = line.post(f"http://127.0.0.1:{port}/", {}, b"{}", seconds=5)

    assert answer.status == 200
    assert answer.milliseconds < 3000


def test_who_does_not_speak_http_or_is_not_there_has_not_got_it(settings: Any) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    with speaking(lambda line: line.sendall(b"220 mail.example ESMTP\r\n")) as port, Line() as line:
        spoken = line.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    with Line() as line:
        absent = line.post(f"http://127.0.0.1:{port}/", {}, b"{}")

    assert [(answer.status, answer.error) for answer in (spoken, absent)] == [(None, "broken_off"), (None, "unreachable")]


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side with a certificate for this name, and a client's that trusts it."""
    key, subject, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), _now()
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, now.replace(year=now.year + 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "certificate", folder / "key")
    return server, ssl.create_default_context(cafile=str(folder / "certificate"))


def _now() -> Any:
    return datetime.now(UTC).replace(day=1)


@pytest.mark.parametrize(("name", "good"), [("crm.example", True), ("other.example", False)])
def test_the_certificate_must_be_the_names_although_the_connection_goes_to_an_address(
    name: str, good: bool, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    resolving(monkeypatch, ["127.0.0.1"])
    server, client = certified(tmp_path, "crm.example")

    def answers(line: socket.socket) -> None:
        read = b""
        while not read.endswith(b"{}"):
            read += line.recv(65536)
        line.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with speaking(answers, server) as port, Line(client) as line:
        answer: Answer = line.post(f"https://{name}:{port}/", {}, b"{}")

    assert (answer.status, answer.error) == ((204, "") if good else (None, "tls"))
