"""A stream loses nothing: not when receivers fail, not when it is killed between two steps."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ledger_examples import decision

from audit.export import stream as streams
from audit.export.ocsf import finding_line
from audit.export.selection import Selection
from audit.export.sinks import FileSink, Syslog, WebHook, open_sink
from audit.export.stream import Cursor, Stream
from audit.export.tables import json_line
from guard.errors import InputError, LedgerError
from guard.types import Action


@pytest.fixture
def filled(ledger):
    """Entries 2 to 13 are decisions."""
    for number in range(12):
        ledger.append_sync(decision(list(Action)[number % 5], number=number))
    return ledger


class Taking:
    """A sink in memory that fails when it is told to; what it took before failing it may have kept or not."""

    def __init__(self, *failures):
        self.failures, self.taken = list(failures), []

    def send(self, lines, /):
        failure = self.failures.pop(0) if self.failures else ""
        if failure != "before":
            self.taken += [json.loads(line)["index"] for line in lines]
        if failure:
            raise OSError(None, f"failed {failure}")

    def close(self):
        pass


def streamed(ledger, url, sink, cursor, query="", line=json_line, **more):
    """One run."""
    place = Cursor(cursor, ledger.identity)
    return Stream(url, Selection(query), sink, place, line, sleep=more.pop("sleep", lambda _seconds: None), **more)


@pytest.fixture
def cursor(tmp_path):
    """Where the cursor lies."""
    return tmp_path / "cursor.json"


def test_entries_come_once_in_order_and_later_runs_go_on(filled, url, cursor):
    """The cursor says where."""
    sink = Taking()
    assert streamed(filled, url, sink, cursor).run(follow=False) == 12
    assert sink.taken == list(range(2, 14))
    assert json.loads(cursor.read_text("utf-8")) == {"ledger": filled.identity, "next": 14}
    assert streamed(filled, url, sink, cursor).run(follow=False) == 0
    filled.append_sync(decision(Action.BLOCK, number=50))
    assert streamed(filled, url, sink, cursor).run(follow=False) == 1
    assert sink.taken[-1] == 14


def test_filters_choose_and_the_cursor_still_passes_the_others(filled, url, cursor):
    """Entries that do not match are not looked at again."""
    sink = Taking()
    streamed(filled, url, sink, cursor, "action:block").run(follow=False)
    assert sink.taken == [6, 11]
    assert json.loads(cursor.read_text("utf-8"))["next"] == 14


@pytest.mark.parametrize("size", [1, 2, 5, 12, 100])
def test_a_receiver_that_fails_gets_the_batch_again(filled, url, cursor, size, monkeypatch):
    """At least once: whether it kept the batch before it failed or not; the waits grow."""
    monkeypatch.setattr(streams, "BATCH", size)
    waits, told = [], []
    sink = Taking("before", "after", "before")
    streamed(filled, url, sink, cursor, sleep=waits.append, tell=told.append).run(follow=False)
    assert sorted(set(sink.taken)) == list(range(2, 14))
    assert waits == [1, 2, 4]
    assert "failed before" in told[0]


def test_a_run_that_was_killed_before_its_cursor_was_written_sends_again(filled, url, cursor, monkeypatch):
    """The acknowledged batch may come twice, and none is missed."""
    monkeypatch.setattr(streams, "BATCH", 5)
    sink = Taking()
    write = Cursor.write
    calls = []

    def die(self, following):
        calls.append(following)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(self, following)

    monkeypatch.setattr(Cursor, "write", die)
    with pytest.raises(KeyboardInterrupt):
        streamed(filled, url, sink, cursor).run(follow=False)
    monkeypatch.setattr(Cursor, "write", write)
    streamed(filled, url, sink, cursor).run(follow=False)
    assert sink.taken == [*range(2, 7), *range(7, 12), *range(7, 12), 12, 13]


def test_it_gives_up_after_its_tries_and_keeps_its_place(filled, url, cursor):
    """Without following; the cursor is as it was."""
    with pytest.raises(OSError, match="failed before"):
        streamed(filled, url, Taking("before", "before"), cursor, tries=2).run(follow=False)
    assert not cursor.exists()


def test_following_takes_what_comes(filled, url, cursor):
    """Until it is interrupted."""
    sink = Taking()
    polls = []

    def wait(_seconds):
        polls.append(1)
        if len(polls) == 3:
            raise KeyboardInterrupt
        filled.append_sync(decision(Action.ALLOW, number=60 + len(polls)))

    with pytest.raises(KeyboardInterrupt):
        streamed(filled, url, sink, cursor, sleep=wait).run(follow=True)
    assert sink.taken == list(range(2, 16))


def test_cursors_of_other_ledgers_and_ledgers_behind_them_are_refused(filled, url, cursor):
    """Nothing is skipped in silence."""
    cursor.write_text(json.dumps({"ledger": "another", "next": 3}), "utf-8")
    with pytest.raises(InputError, match="of another ledger"):
        streamed(filled, url, Taking(), cursor).run(follow=False)
    cursor.write_text("{", "utf-8")
    with pytest.raises(InputError, match="found no cursor"):
        streamed(filled, url, Taking(), cursor).run(follow=False)
    Cursor(cursor, filled.identity).write(99)
    with pytest.raises(LedgerError, match="found a ledger of 14 entries, expected at least the 99"):
        streamed(filled, url, Taking(), cursor).run(follow=False)


def test_a_file_is_appended_to_and_a_line_that_was_cut_off_is_ended(filled, url, cursor, tmp_path):
    """Every whole line can be read."""
    file = tmp_path / "out.jsonl"
    file.write_bytes(b'{"index":1,"le')
    streamed(filled, url, FileSink(file), cursor).run(follow=False)
    lines = file.read_bytes().splitlines()
    assert lines[0] == b'{"index":1,"le'
    assert [json.loads(line)["index"] for line in lines[1:]] == list(range(2, 14))


def test_findings_are_streamed_too(filled, url, cursor, tmp_path):
    """Decisions without a rule are passed over."""
    file = tmp_path / "out.jsonl"
    assert streamed(filled, url, FileSink(file), cursor, line=finding_line).run(follow=False) == 9
    assert {json.loads(line)["class_uid"] for line in file.read_bytes().splitlines()} == {2004}


@contextmanager
def serving(server):
    """A server on a thread."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_syslog_frames_are_counted_and_whole(filled, url, cursor):
    """RFC 5424 in RFC 6587's octet counting."""
    got, done = bytearray(), threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(65536):
                got.extend(data)
            done.set()

    with serving(socketserver.TCPServer(("127.0.0.1", 0), Handler)) as port:
        sink = open_sink(f"syslog://127.0.0.1:{port}")
        streamed(filled, url, sink, cursor).run(follow=False)
        sink.close()
        assert done.wait(60)
    messages, rest = [], bytes(got)
    while rest:
        length, _, rest = rest.partition(b" ")
        messages.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert len(messages) == 12
    head = re.compile(rb"<110>1 [0-9T:.-]+Z [!-~]+ genguard [0-9]+ entry - (\{.*\})", re.DOTALL)
    assert [json.loads(head.fullmatch(one)[1])["index"] for one in messages] == list(range(2, 14))


def test_a_syslog_server_that_is_gone_is_no_acknowledgement(filled, url, cursor):
    """Neither a refused nor a closed connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sink = Syslog("127.0.0.1", port)
        sink.send([b"{}\n"])
        taken, _ = listener.accept()
        taken.close()
        with pytest.raises(OSError, match=r"closed|reset|pipe"):
            sink.send([b"{}\n"] * 50)
    with pytest.raises(OSError, match="refused"):
        streamed(filled, url, sink, cursor, tries=1).run(follow=False)
    assert not cursor.exists()


def test_a_web_hook_acknowledges_with_2xx_alone(filled, url, cursor):
    """Errors and redirects are tried again; the token comes along."""
    answers, seen = [500, 302, 204], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.headers["authorization"], self.headers["content-type"], len(body.splitlines())))
            self.send_response(answers[len(seen) - 1])
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    told = []
    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as port:
        sink = open_sink(f"http://127.0.0.1:{port}/in", "secret-token")
        streamed(filled, url, sink, cursor, tell=told.append).run(follow=False)
    assert seen == [("Bearer secret-token", "application/x-ndjson", 12)] * 3
    assert ["status 500" in told[0], "status 302" in told[1]] == [True, True]
    assert "secret-token" not in repr(sink)
    with pytest.raises(OSError, match="no answer"):
        sink.send([b"{}\n"])


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("syslog://host", "expected syslog://HOST:PORT"),
        ("syslog://host:99999", "expected a port"),
        ("http://example.org/in", "expected https"),
        ("https://user:pass@example.org/in", "a password in it"),
        ("ftp://example.org/in", "found ftp://"),
    ],
)
def test_targets_that_cannot_be_are_refused(target, told):
    """And a password is not repeated."""
    with pytest.raises(InputError, match=told) as caught:
        open_sink(target)
    assert "pass@" not in str(caught.value)
    assert isinstance(open_sink("https://example.org/in"), WebHook)
