"""`publish`: one command by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption


def add_to(app: typer.Typer) -> None:
    """Put this command into the application."""
    app.command()(publish)


def publish(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="CreateRequest, or agentmesh.requests.CreateRequest.v1")],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="The command's fields; - reads them from stdin, @FILE from a file.")],
    key: Annotated[str | None, typer.Option("--key", help="The record's key; default: the aggregate's id.")] = None,
    command_id: Annotated[str | None, typer.Option("--id", help="The command's id; the same id is applied once.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Fills tenant_id where the payload has none; else `default`.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return when Kafka has it, without its outcome.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for outcome and read model.")] = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Publish one command over Kafka, wait for its outcome and for the read model, and show both.

    A missing tenant_id, and the id of what a Create… command begins, are filled in.
    Exit code 0: events or unchanged; 1: rejected or parked; 4: no outcome in time.

    Example: agentmesh publish CreateRequest '{"customer_id": "cust-0042", "message": "My invoice of May is wrong"}'
    """
    import asyncio

    from services.cli.payload import read_payload
    from services.cli.publish import publish as work

    text = read_payload(payload)
    code = asyncio.run(
        work(
            type_name, text, key=key, command_id=command_id, tenant=tenant, wait=not no_wait, timeout=timeout, output=output
        )
    )  # fmt: skip
    raise typer.Exit(code)
