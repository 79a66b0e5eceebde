"""How commands show what they found: JSON for programs, tables for people, one line at a time for progress."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

# A table that goes into a file or a pipe is not cut to the width of a terminal that is not there.
WIDTH_WITHOUT_TERMINAL = 240


class Output(StrEnum):
    """The form of an answer."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="The form of the answer.")]


def console() -> Console:
    """The terminal, or a wide plain page when there is none; NO_COLOR is respected."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False, soft_wrap=False)


def print_json(value: object, *, one_line: bool = False) -> None:
    """One JSON text on stdout."""
    print(json.dumps(value, ensure_ascii=False, default=_plain, indent=None if one_line else 2), flush=True)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    return str(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table on stdout, numbers to the right; the sentence `empty` when there are no rows."""
    if not rows:
        print(empty)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, column in enumerate(columns):
        numeric = all(isinstance(row[number], int | float) or row[number] is None for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=False)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console().print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        print(f"{name:<{width}}  {cell(value)}")


def cell(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
        case _:
            return str(value)


def describe_details(details: Mapping[str, Any]) -> str:
    """A rejection's details in one line: each broken rule, or the names and values there are."""
    errors = details.get("errors")
    if errors:
        return "; ".join(f"{each['field']}: {each['rule']} ({each['shape']})" for each in errors)
    return "; ".join(f"{name}: {value}" for name, value in details.items()) or "-"


def tell(message: str) -> None:
    """Progress and advice go to stderr, so that stdout holds the answer alone."""
    print(message, file=sys.stderr, flush=True)


def own_name() -> str:
    """How this program is called from here: by its name where the shell finds it, else by its path."""
    if shutil.which("agentmesh"):
        return "agentmesh"
    path = Path(sys.argv[0])
    return os.path.relpath(path) if path.name == "agentmesh" else f"{os.path.relpath(sys.executable)} -m services.cli.main"


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"
