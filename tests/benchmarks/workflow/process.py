"""Runs what `agentmesh run` runs as a process that ends with the benchmark; writes a profile of it on request."""

from __future__ import annotations

import cProfile
import os
import sys
from pathlib import Path

from infra.runtime.process import main as run_worker
from services.cli.workers import builders, plan_of
from tests.benchmarks.children import end_with_parent

PROFILES = "AGENTMESH_BENCH_PROFILES"


def main() -> int:
    """`NAME ARGUMENT…`: the process's name, then what follows `agentmesh run`."""
    end_with_parent()
    name, *arguments = sys.argv[1:]
    found = builders(plan_of(arguments))
    folder = os.environ.get(PROFILES)
    if not folder:
        return run_worker(found)
    profile = cProfile.Profile()
    try:
        return int(profile.runcall(run_worker, found))
    finally:
        profile.dump_stats(Path(folder) / f"{name}.prof")


if __name__ == "__main__":
    sys.exit(main())
