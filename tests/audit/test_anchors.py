"""Anchors on other machines: each checkpoint arrives at least once, in order, signed; and nothing waits for them."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import socketserver
import ssl
import threading

import pytest
from ledger_examples import decision
from servers import certificate, hook, serving

from audit import anchor as anchors
from audit.anchor import FileAnchor, SentAnchor, open_anchor
from audit.checkpoint import Checkpoint
from audit.database import reader_engine
from audit.export.sinks import Syslog, open_sink
from audit.notary import Notary
from audit.webhook import PREFIX, Hook, check_address, read_secret
from guard.errors import InputError, LedgerError, SettingsError
from guard.note import SigningKey
from guard.types import Action

SECRET = b"s" * 32
KEY = SigningKey.make("genguard/test")


def note(size):
    """A signed checkpoint."""
    return Checkpoint(KEY.name, size, bytes(32)).signed(KEY)


@pytest.fixture
def clock():
    """Seconds, as a test says."""
    return [0.0]


@pytest.fixture
def opened(tmp_path, clock):
    """An anchor of a target, with the test's clock."""

    def make(target, secret=SECRET):
        made = open_anchor(target, tmp_path / "spool", secret)
        made.clock = lambda: clock[0]
        return made

    return make


def test_a_hook_gets_every_checkpoint_signed(opened):
    """As Standard Webhooks say, checked by hand."""
    with hook() as (url, got):
        made = opened(url)
        for size in (9, 10, 100):
            made.append(note(size))
        made.deliver()
        assert (made.waiting(), made.trouble, made.notes()) == ([], "", ())
    assert [body.decode() for _, body in got] == [note(9), note(10), note(100)]
    for headers, body in got:
        found = {name.lower(): value for name, value in headers.items()}
        signed = f"{found['webhook-id']}.{found['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(SECRET, signed, "sha256").digest()).decode()
        assert found["webhook-signature"] == f"v1,{expected}"
    assert len({headers["webhook-id"] for headers, _ in got}) == 3


def test_what_is_not_acknowledged_waits_and_goes_later_with_longer_waits(opened, clock):
    """Errors and redirects are none; the same checkpoint has the same id; a process that begins finds what waits."""
    with hook(500, 302) as (url, got):
        made = opened(url)
        made.append(note(3))
        made.append(note(4))
        made.deliver()
        assert made.trouble.startswith(f"2 checkpoints wait for {url.removesuffix('/in')}: status 500")
        made.deliver()
        assert len(got) == 1, "not before a second has passed"
        clock[0] = 1.0
        made.deliver()
        assert "status 302" in made.trouble
        clock[0] = 2.5
        made.deliver()
        assert len(got) == 2, "then two"
        again = opened(url)
        again.deliver()
        assert (again.trouble, again.waiting()) == ("", [])
    assert [body.decode() for _, body in got] == [note(3), note(3), note(3), note(4)]
    assert len({headers["webhook-id"] for headers, _ in got[:3]}) == 1


def test_nobody_there_is_told_without_the_path_and_costs_the_log_nothing(opened, ledger, path):
    """The notary signs on."""
    made = opened("http://127.0.0.1:9/hooks/T0K3N?sig=x")
    notary = Notary(reader_engine(path), path, KEY, [made])
    for number in range(2):
        ledger.append_sync(decision(Action.ALLOW, number=number))
        assert notary.sign()
    made.deliver()
    assert len(made.waiting()) == 2
    assert "T0K3N" not in made.trouble
    assert "http://127.0.0.1:9: no answer" in made.trouble


def test_of_too_many_that_wait_the_oldest_go(opened, monkeypatch):
    """A disk that fills up would stop the ledger; a newer checkpoint commits to all that older ones say."""
    monkeypatch.setattr(anchors, "MAX_WAITING", 3)
    made = opened("http://127.0.0.1:9/in")
    for size in range(1, 6):
        made.append(note(size))
    assert [Checkpoint.parse(one.read_text().partition("\n\n")[0] + "\n").size for one in made.waiting()] == [3, 4, 5]
    assert made.trouble == ""


def test_what_cannot_be_kept_is_an_error(tmp_path):
    """The notary tells."""
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(LedgerError, match="cannot keep a checkpoint"):
        open_anchor("https://example.org/in", tmp_path / "spool", SECRET).append(note(1))


def test_targets(tmp_path):
    """A path is a file, a hook needs a secret, and what cannot be is refused."""
    assert open_anchor(str(tmp_path / "a.txt"), tmp_path) == FileAnchor(tmp_path / "a.txt")
    assert isinstance(open_anchor("syslog+tls://host:6514", tmp_path), SentAnchor)
    with pytest.raises(SettingsError, match="no secret"):
        open_anchor("https://example.org/in", tmp_path)
    with pytest.raises(InputError, match="expected https"):
        open_anchor("http://example.org/in", tmp_path, SECRET)
    with pytest.raises(InputError, match=r"expected syslog\+udp://HOST:PORT"):
        open_anchor("syslog+udp://host", tmp_path)


@pytest.mark.parametrize("text", ["x", "whsec_", "whsec_AAAA", f"{PREFIX}{base64.b64encode(bytes(65)).decode()}", "whsec_???"])
def test_secrets_that_cannot_be_are_not_quoted(text):
    """24 to 64 bytes of base64."""
    with pytest.raises(SettingsError) as caught:
        read_secret(text)
    assert text == "x" or text == PREFIX or text not in str(caught.value)
    assert read_secret(PREFIX + base64.b64encode(SECRET).decode()) == SECRET
    assert read_secret("") == b""


@pytest.mark.parametrize("url", ["ftp://example.org", "https://", "https://a:b@example.org/", "http://example.org/"])
def test_addresses_that_cannot_be(url):
    """Of hooks."""
    with pytest.raises(InputError):
        check_address(url)


def test_no_proxy_and_no_redirect_takes_a_hook_elsewhere(monkeypatch):
    """Whatever the environment and the answer say, only the configured address is asked."""
    with hook() as (elsewhere, lured), hook(307) as (url, got):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere)
        with pytest.raises(ConnectionError, match="status 307"):
            Hook(url, SECRET).post(b"{}")
        assert (len(got), lured) == (1, [])
    assert "s" * 32 not in repr(Hook(url, SECRET))


class Syslogd(socketserver.StreamRequestHandler):
    """Reads messages by octet counting."""

    def handle(self):
        while length := self._length():
            self.server.got.append(self.rfile.read(length).decode())
            self.server.came.release()

    def _length(self):
        digits = b""
        while (one := self.rfile.read(1)) and one != b" ":
            digits += one
        return int(digits or b"0")


@pytest.fixture
def syslogd():
    """Makes a syslog server over TCP, or TLS with a certificate."""

    def make(file=None):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Syslogd)
        server.daemon_threads, server.got, server.came = True, [], threading.Semaphore(0)
        if file is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # a client that does not trust it is the client's affair
        return server

    return make


def test_checkpoints_go_to_syslog_over_tls(opened, syslogd, tmp_path, monkeypatch):
    """RFC 5425, with a certificate that SSL_CERT_FILE names; connections are kept."""
    file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server = syslogd(file)
    with serving(server) as port:
        made = opened(f"syslog+tls://127.0.0.1:{port}")
        for size in (1, 2):
            made.append(note(size))
            made.deliver()
            assert made.trouble == ""
            assert server.came.acquire(timeout=20)
        made.sink.close()
    assert [json.loads(one.partition(" checkpoint - ")[2])["checkpoint"] for one in server.got] == [note(1), note(2)]
    assert all(one.startswith("<110>1 20") for one in server.got)


@pytest.mark.parametrize("case", ["unknown", "another name"])
def test_a_syslog_server_that_is_not_trusted_gets_nothing(opened, syslogd, tmp_path, monkeypatch, case):
    """A certificate of nobody that is known, or of another address."""
    file = certificate(tmp_path, name="127.0.0.1" if case == "unknown" else "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(file if case != "unknown" else certificate(tmp_path, name="127.0.0.3")))
    server = syslogd(file)
    with serving(server) as port:
        made = opened(f"syslog+tls://127.0.0.1:{port}")
        made.append(note(1))
        made.deliver()
        assert "1 checkpoints wait" in made.trouble
    assert server.got == []


def test_entries_go_to_syslog_over_udp(tmp_path):
    """RFC 5426: one message a datagram, not counted; what no datagram holds is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(20)
        sink = open_sink(f"syslog+udp://127.0.0.1:{listener.getsockname()[1]}")
        sink.send([b'{"index":1}\n', b'{"index":2}\n'])
        got = [listener.recv(70_000).decode() for _ in range(2)]
        assert [json.loads(one.partition(" entry - ")[2])["index"] for one in got] == [1, 2]
        with pytest.raises(InputError, match="expected at most 65000 for UDP"):
            sink.send([b"x" * 66_000])
        sink.close()


def test_a_connection_that_was_closed_is_no_acknowledgement(syslogd, tmp_path, monkeypatch):
    """Over TLS as over TCP."""
    file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server = syslogd(file)
    with serving(server) as port:
        sink = Syslog("127.0.0.1", port, "tls")
        sink.send([b"{}\n"])
        assert server.came.acquire(timeout=20)
        sink._connection.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError, match=r".*"):
            sink.send([b"{}\n"])
        assert sink._connection is None
        sink.send([b"{}\n"])
        assert server.came.acquire(timeout=20), "the next try connects again"
        sink.close()
