"""The command `python -m infra.local_stack start|stop|status|restart NAME`: operates the local servers."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from infra.local_stack.errors import LocalStackError
from infra.settings import SettingsError, load_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Exit code 0: done, 1: failed, 2: wrong usage, 3: `status` found a server that does not run."""
    chosen = _parser().parse_args(arguments)
    try:
        return _run(chosen)
    except (LocalStackError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", type=Path, help="the folder that holds .agentmesh (default: AGENTMESH_HOME, else this folder)")
    parser = argparse.ArgumentParser(prog="python -m infra.local_stack", description="Real PostgreSQL, Kafka and Redis, without Docker.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", parents=[shared], help="start the servers, or reuse those that run")
    commands.add_parser("stop", parents=[shared], help="stop the servers; their data stays")
    status = commands.add_parser("status", parents=[shared], help="show each server with its pid and address")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    commands.add_parser("restart", parents=[shared], help="restart one server").add_argument("name")
    return parser


def _run(chosen: argparse.Namespace) -> int:
    from infra.local_stack import stack

    root = chosen.root or load_settings().home
    began = time.monotonic()
    if chosen.command == "start":
        endpoints = stack.start_stack(root, _tell)
        _tell(f"all servers are ready ({time.monotonic() - began:.1f} s)")
        for name, address in endpoints.masked().items():
            print(f"{name:16} {address}")
    elif chosen.command == "stop":
        stack.stop_stack(root, _tell)
        _tell("no server runs")
    elif chosen.command == "restart":
        stack.restart_server(root, chosen.name, _tell)
    else:
        return _show_status(root, chosen.output)
    return 0


def _show_status(root: Path, output: str) -> int:
    from infra.local_stack import stack

    servers = stack.status(root)
    if output == "json":
        print(json.dumps([asdict(server) for server in servers], indent=2))
    else:
        for server in servers:
            print(f"{server.name:10} {server.state:14} {server.pid or '-':>8} {server.endpoint}")
    return 0 if all(server.state == "running" for server in servers) else 3


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
