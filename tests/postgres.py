"""A private PostgreSQL server for tests and benchmarks: its own data, a socket in its own folder, no TCP, fsync on."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

MISSING = "no PostgreSQL server here (Debian, Ubuntu: apt-get install postgresql)"
_SETTINGS = (
    "listen_addresses = ''",
    "fsync = on",
    "synchronous_commit = on",
    "max_connections = 400",
    "shared_buffers = 128MB",
    "max_wal_size = 512MB",
    "log_min_messages = warning",
)


def binaries() -> Path | None:
    """The folder of `pg_ctl` and `initdb`: of the newest version that Debian's packages installed, or on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@dataclass(slots=True)
class Server:
    """A server that runs. As root it runs as another user, since PostgreSQL refuses to be root."""

    folder: Path
    bin: Path

    @classmethod
    def start(cls, *more: str) -> Server:
        """Make one. `more`: lines for its configuration."""
        found = binaries()
        assert found is not None, MISSING
        folder = Path(tempfile.mkdtemp(prefix="gg-pg-"))
        server = cls(folder, found)
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        # A locale of words, as servers have: what sorts by bytes has to say so.
        server.run("initdb", "-D", str(folder / "data"), "-U", "genguard", "-A", "trust", "-E", "UTF8", *_LOCALE)
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write("\n".join([*_SETTINGS, f"unix_socket_directories = '{folder}'", *more]) + "\n")
        server.up()
        return server

    def up(self) -> None:
        """Start it and wait until it answers."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-w", "-t", "60", "start")

    def down(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` as a crash does."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "-t", "60", "stop")

    def kill(self) -> None:
        """End it without a word, as a crash of its machine does; when it returns, none of its processes is left."""
        note = self.folder / "data" / "postmaster.pid"
        os.kill(int(note.read_text("utf-8").split()[0]), signal.SIGKILL)
        until = time.monotonic() + 60
        while self._members():
            assert time.monotonic() < until
            time.sleep(0.05)
        for one in (note, *self.folder.glob(".s.PGSQL.*")):
            one.unlink()  # where nobody buries the dead, they would speak of one that runs

    def _members(self) -> list[str]:
        """Processes that work in its data."""
        here = (one for one in Path("/proc").glob("[0-9]*/cwd") if _link(one) == str(self.folder / "data"))
        return [one.parent.name for one in here]

    def close(self) -> None:
        """Stop it, and remove all that it was."""
        with suppress(AssertionError):
            self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The ledger URL of a database."""
        return f"postgresql://genguard@/{database}?host={self.folder}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs; its output."""
        drop = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
        command = [*drop, str(self.bin / program), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=120, env=_environment())
        assert done.returncode == 0, f"{program}: {done.stdout[-500:]} {done.stderr[-1500:]}"
        return done.stdout


def _link(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""


_LOCALE = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def statement(url: str, text: str) -> list[tuple[object, ...]]:
    """Run one statement outside of a transaction, as another program would; its rows."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []


def fresh(admin: str) -> str:
    """The URL of a new empty database on the server that has the one at `admin`."""
    name = f"t_{uuid4().hex}"
    statement(admin, f"CREATE DATABASE {name}")
    return renamed(admin, name)


def copied(admin: str, url: str) -> str:
    """The URL of a copy of a database that nobody works in: connections that are kept to it are ended."""
    from sqlalchemy.engine import make_url

    name, of = f"t_{uuid4().hex}", make_url(url).database
    statement(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{of}'")
    statement(admin, f"CREATE DATABASE {name} TEMPLATE {of}")
    return renamed(admin, name)


def fresh_schema(admin: str) -> str:
    """The URL of a new empty schema, which is much quicker to make than a database."""
    from sqlalchemy.engine import make_url

    name = f"t_{uuid4().hex}"
    statement(admin, f"CREATE SCHEMA {name}")
    return make_url(admin).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)


def drop(admin: str, url: str) -> None:
    """Remove a database, whoever is connected."""
    from sqlalchemy.engine import make_url

    statement(admin, f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")


def renamed(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    from sqlalchemy.engine import make_url

    return make_url(url).set(database=database).render_as_string(hide_password=False)
