"""The parts of the local stack that need no server: ports, endpoints, accounts, lock, class path, and what is resolved."""

import gc
import json
import os
import socket
import stat
import threading
import time
import zipfile
from pathlib import Path

import pytest

from infra.local_stack import accounts, kafka_jars
from infra.local_stack.endpoints import Endpoints, read_endpoints, remove_endpoints, write_endpoints
from infra.local_stack.errors import LocalStackError, MissingPackage
from infra.local_stack.lock import file_lock
from infra.local_stack.packages import package_folder
from infra.local_stack.ports import HOST, PortBook, accepts, free_port, is_free
from infra.local_stack.processes import Account
from infra.local_stack.progress import silent
from infra.local_stack.resolve import resolve_endpoints, source_of
from infra.settings import MeshSettings, load_settings, variable_names

EVERYTHING = Endpoints("h:1", "postgresql://u:pass@h/d", "redis://h/0")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MeshSettings.model_fields:
        for variable in variable_names(name):
            monkeypatch.delenv(variable, raising=False)


class TestPorts:
    def test_chosen_ports_are_remembered_while_they_are_free(self, tmp_path: Path) -> None:
        first = PortBook(tmp_path / "ports.json").choose("broker", "controller")
        assert first["broker"] != first["controller"]
        assert PortBook(tmp_path / "ports.json").choose("broker", "controller") == first == PortBook(tmp_path / "ports.json").remembered()

    def test_a_port_that_its_killed_server_still_holds_is_waited_for(self, tmp_path: Path) -> None:
        book = PortBook(tmp_path / "ports.json")
        before = book.choose("broker")
        holder = socket.create_server((HOST, before["broker"]))
        threading.Timer(0.2, holder.close).start()
        assert book.choose("broker") == before

    def test_a_port_that_was_taken_meanwhile_is_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PortBook, "patience_seconds", 0.05)
        book = PortBook(tmp_path / "ports.json")
        before = book.choose("broker", "controller")
        with socket.create_server((HOST, before["broker"])):
            after = book.choose("broker", "controller")
        assert after["broker"] != before["broker"]
        assert after["controller"] == before["controller"]
        assert book.remembered() == after

    def test_ports_lie_below_those_of_outgoing_connections(self) -> None:
        assert 20_000 <= free_port(set()) <= 32_000

    @pytest.mark.parametrize("content", ["", "[1]", '{"broker": "x"}', "null"])
    def test_a_garbled_port_book_is_empty(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "ports.json").write_text(content)
        assert PortBook(tmp_path / "ports.json").remembered() == {}

    def test_a_listening_port_is_not_free_and_accepts(self) -> None:
        with socket.create_server((HOST, 0)) as listener:
            port = listener.getsockname()[1]
            assert not is_free(port)
            assert accepts(port)
        assert not accepts(port)


class TestEndpoints:
    def test_they_are_read_as_they_were_written(self, tmp_path: Path) -> None:
        with_gateway = Endpoints("h:1", "postgresql://u:p@h/d", "redis://h/0", "http://h:8000")
        for endpoints in (EVERYTHING, with_gateway):
            path = write_endpoints(tmp_path, endpoints)
            assert read_endpoints(tmp_path) == endpoints
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert [each.name for each in tmp_path.iterdir()] == ["endpoints.json"]

    def test_the_file_has_the_agreed_keys(self, tmp_path: Path) -> None:
        write_endpoints(tmp_path, EVERYTHING)
        assert set(json.loads((tmp_path / "endpoints.json").read_text())) == {"kafka_bootstrap", "postgres_dsn", "redis_url"}

    @pytest.mark.parametrize("content", ["", "[]", "{}", "3"])
    def test_what_cannot_be_read_counts_as_absent(self, content: str, tmp_path: Path) -> None:
        assert read_endpoints(tmp_path) is None
        (tmp_path / "endpoints.json").write_text(content)
        assert read_endpoints(tmp_path) is None
        remove_endpoints(tmp_path)
        remove_endpoints(tmp_path)

    def test_passwords_are_not_shown(self) -> None:
        assert "pass" not in repr(EVERYTHING)
        assert EVERYTHING.masked()["postgres_dsn"] == "postgresql://u:***@h/d"


class TestResolving:
    def test_variables_come_first_and_start_nothing(self, tmp_path: Path) -> None:
        settings = load_settings(
            home=tmp_path, database_url="postgresql://u:pass@h/d", redis_url="redis://h/0", kafka_bootstrap_servers="h:1"
        )
        assert resolve_endpoints(settings, start=True) == EVERYTHING
        assert source_of(settings) == "servers: postgres, kafka, redis from the settings"
        assert list(tmp_path.iterdir()) == []

    def test_without_anything_running_the_error_says_what_to_start_or_set(self, tmp_path: Path) -> None:
        settings = load_settings(home=tmp_path, redis_url="redis://h/0")
        with pytest.raises(LocalStackError, match=r"No postgres and no kafka runs here: .*start.* or set DATABASE_URL, KAFKA_BOOTSTRAP"):
            resolve_endpoints(settings)
        assert "redis from the settings, postgres, kafka from the local stack" in source_of(settings)

    def test_endpoints_noted_by_another_process_are_used(self, tmp_path: Path) -> None:
        write_endpoints(tmp_path / ".agentmesh", EVERYTHING)
        assert resolve_endpoints(load_settings(home=tmp_path)) == EVERYTHING

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # docker's client drops its socket unclosed
    def test_containers_need_a_command_that_stays_and_an_engine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load_settings(home=tmp_path, servers="docker")
        with pytest.raises(LocalStackError, match="set DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, REDIS_URL"):
            resolve_endpoints(settings)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
        with pytest.raises(LocalStackError, match=r"no container engine answers .*AGENTMESH_SERVERS=local"):
            resolve_endpoints(settings, start=True)
        gc.collect()
        assert "containers" in source_of(settings)


class TestLock:
    def test_the_second_waits_for_the_first_and_says_whom_it_waits_for(self, tmp_path: Path) -> None:
        said: list[str] = []
        order: list[str] = []

        def second() -> None:
            with file_lock(tmp_path / "lock", "busy", said.append):
                order.append("second")

        with file_lock(tmp_path / "lock", "busy", silent):
            thread = threading.Thread(target=second)
            thread.start()
            deadline = time.monotonic() + 10
            while not said and time.monotonic() < deadline:
                time.sleep(0.01)
            order.append("first")
        thread.join(10)
        assert order == ["first", "second"]
        assert said == [f"process {os.getpid()} is busy: waiting for it"]

    def test_waiting_has_an_end(self, tmp_path: Path) -> None:
        with (
            file_lock(tmp_path / "lock", "busy", silent),
            pytest.raises(LocalStackError, match=f"Process {os.getpid()} has been busy"),
            file_lock(tmp_path / "lock", "busy", silent, timeout=0.2),
        ):
            pass


class TestAccounts:
    def test_a_normal_user_runs_the_server_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert accounts.service_account(tmp_path) is None

    def test_root_takes_the_owner_of_existing_data_then_a_database_account_then_makes_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known: dict[str, Account] = {"postgres": Account(70, 70)}
        made: list[list[str]] = []

        def useradd(command: list[str], **_: object) -> None:
            made.append(command)
            known["pgserver"] = Account(71, 71)

        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(accounts, "_lookup", known.get)
        monkeypatch.setattr(accounts.shutil, "which", lambda name: f"/sbin/{name}")
        monkeypatch.setattr(accounts.subprocess, "run", useradd)
        assert accounts.service_account(tmp_path / "absent") == Account(70, 70)
        assert made == []
        known.clear()
        assert accounts.service_account(tmp_path / "absent") == Account(71, 71)
        assert made[0][0] == "/sbin/useradd"
        monkeypatch.setattr(accounts.shutil, "which", lambda name: None)
        known.clear()
        with pytest.raises(LocalStackError, match="create a user named 'pgserver'"):
            accounts.service_account(tmp_path / "absent")
        if os.getuid() == 0:
            os.chown(tmp_path, 72, 73)
            assert accounts.service_account(tmp_path) == Account(72, 73)

    def test_folders_are_opened_for_passing_but_not_for_reading(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        changed = accounts.open_the_way(closed / "data")
        assert closed in changed
        assert stat.S_IMODE(closed.stat().st_mode) == 0o711
        assert accounts.open_the_way(closed / "data") == []

    def test_programs_of_a_strict_installation_become_readable(self, tmp_path: Path) -> None:
        tree = tmp_path / "bin"
        tree.mkdir(mode=0o700)
        program, text, link = tree / "program", tree / "text", tree / "link"
        program.touch(mode=0o700)
        text.touch(mode=0o600)
        link.symlink_to("nowhere")
        assert not accounts.is_readable_by_all(program)
        accounts.make_readable(tree)
        assert accounts.is_readable_by_all(program)
        assert [stat.S_IMODE(path.stat().st_mode) for path in (tree, program, text)] == [0o755, 0o755, 0o644]


class TestPackages:
    def test_a_missing_package_says_how_to_install_it_or_do_without(self) -> None:
        with pytest.raises(MissingPackage, match=r"no_such_package.*agentmesh\[local\].*set REDIS_URL"):
            package_folder("no_such_package", "Redis", "REDIS_URL")


class TestKafkaJars:
    def test_a_noted_class_path_needs_neither_resolver_nor_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        jar = tmp_path / "kafka.jar"
        jar.write_bytes(b"jar")
        calls: list[Path] = []

        def resolve(state_dir: Path, progress: object) -> list[Path]:
            calls.append(state_dir)
            return [jar]

        monkeypatch.setattr(kafka_jars, "_resolve", resolve)
        for _ in range(2):
            assert kafka_jars.class_path(tmp_path, silent) == [jar]
        assert len(calls) == 1
        jar.write_bytes(b"cut")
        jar.write_bytes(b"another size")
        assert kafka_jars.class_path(tmp_path, silent) == [jar]
        assert len(calls) == 2

    def test_an_unreachable_repository_says_what_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(repository: Path) -> list[object]:
            raise ConnectionError("no route")

        monkeypatch.setattr(kafka_jars, "_artifacts", fail)
        with pytest.raises(MissingPackage, match=r"no route.*Maven Central.*KAFKA_BOOTSTRAP_SERVERS"):
            kafka_jars.class_path(tmp_path, silent)

    def test_a_jar_that_was_cut_short_is_fetched_again(self, tmp_path: Path) -> None:
        class Artifact:
            fetched = 0

            def resolve(self) -> Path:
                path = tmp_path / "a.jar"
                if not path.exists():
                    self.fetched += 1
                    with zipfile.ZipFile(path, "w") as jar:
                        jar.writestr("x", "y")
                return path

        artifact = Artifact()
        (tmp_path / "a.jar").write_bytes(b"PK only half")
        assert kafka_jars._download([artifact], silent) == [tmp_path / "a.jar"]
        assert artifact.fetched == 1
