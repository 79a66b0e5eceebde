"""Options and arguments that many commands share, so that they are called and explained alike."""

from __future__ import annotations

from typing import Annotated

import typer

IdArgument = Annotated[str, typer.Argument(metavar="ID")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="The most rows.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for outcome and read model.")]
AsOption = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who does it; default: the operating system's user.")]
CustomerOption = Annotated[str | None, typer.Option("--customer", metavar="ID", help="One customer only.")]
