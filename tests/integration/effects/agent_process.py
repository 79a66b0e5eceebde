"""One attempt at a task in a process of its own: makes one effect over HTTP, dies where it is told to; run by the tests of crashes.

python agent_process.py DSN URL ATTEMPT RULE DIES, where DIES is `before` the call, `after` it, `frozen` in it, or `never`.
"""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from typing import Any

from infra.effects.base import NOT_DONE, ClaimLost, EffectNeedsPerson, Probe, Rule, RunClaim
from infra.effects.once import HostEffects
from infra.effects.postgres import PostgresEffectLedger
from infra.postgres.pool import Database
from infra.settings import load_settings

INPUT = {"order": 42, "amount": "12.50"}


def ask(url: str, key: str, method: str) -> Any:
    request = urllib.request.Request(url, method=method, headers={"Idempotency-Key": key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def attempt(database: Database, url: str, number: int, rule_name: str, dies: str) -> str:
    claim = RunClaim("acme", "task-1", number, f"host-{number}")
    effects = HostEffects(PostgresEffectLedger(database)).of_run(claim)

    async def call() -> Any:
        if dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = ask(url, effects.key("refund", input=INPUT), "POST")
        if dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        if dies == "frozen":
            print("frozen", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        return answer

    async def was_it_done() -> Any:
        found = ask(url, effects.key("refund", input=INPUT), "GET")
        return NOT_DONE if found is None else found

    rule = Probe(was_it_done) if rule_name == "probe" else Rule(rule_name)
    try:
        return json.dumps(await effects.once("refund", call, input=INPUT, rule=rule))
    except (ClaimLost, EffectNeedsPerson) as error:
        return type(error).__name__


async def main(dsn: str, url: str, number: str, rule: str, dies: str) -> None:
    database = Database(load_settings(pool_min_size=1, pool_max_size=2), dsn)
    await database.open()
    try:
        print(await attempt(database, url, int(number), rule, dies), flush=True)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
