"""What every `list` and `show` does with the views of a read model: check a filter, print a table or JSON, say that there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from services.cli.errors import NotFound, WrongUsage
from services.cli.output import Output, print_json, print_table

V = TypeVar("V", bound=BaseModel)


def check_choice(name: str, value: str | None, choices: Iterable[str]) -> None:
    """Raises WrongUsage for a value that is not one of the choices; None is no value."""
    known = list(choices)
    if value is not None and value not in known:
        raise WrongUsage(f"There is no {name} {value!r}. Choose of: {', '.join(known)}.")


def print_views(
    views: Sequence[V],
    columns: Sequence[str],
    cells: Callable[[V], list[object]],
    output: Output,
    *,
    empty: str,
    leave_out: set[str] | None = None,
) -> None:
    """A page of views: JSON with all fields but those to leave out, or a table of these columns; `empty` says that there is none."""
    if output is Output.JSON:
        print_json([view.model_dump(mode="json", exclude=leave_out) for view in views])
    else:
        print_table(columns, [cells(view) for view in views], empty=empty)


def existing(view: V | None, noun: str, id_: str, tenant: str) -> V:
    """The view itself. Raises NotFound where there is none: another tenant's is as good as none."""
    if view is None:
        raise NotFound(f"Tenant {tenant} has no {noun} {id_!r}. Another tenant: --tenant NAME.")
    return view
