"""The floor: a bare FastAPI endpoint on uvicorn and uvloop that does nothing but produce the body to Kafka and wait for its
acknowledgement; run by the benchmark as a process of its own."""

from __future__ import annotations

import asyncio
import sys
import uuid

import uvicorn
import uvloop
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request, Response

from tests.benchmarks.children import end_with_parent, tell


async def serve(bootstrap: str, topic: str, port: int) -> None:
    """Answer `POST /floor` with 202 until the benchmark ends."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=2)
    await producer.start()
    app = FastAPI(openapi_url=None)

    @app.post("/floor")
    async def floor(request: Request) -> Response:
        body = await request.body()
        await producer.send_and_wait(topic, body, key=uuid.uuid4().bytes)
        return Response(b"{}", status_code=202, media_type="application/json")

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    tell("ready")
    await serving
    await producer.stop()


def main() -> None:
    """`BOOTSTRAP TOPIC PORT`."""
    end_with_parent()
    bootstrap, topic, port = sys.argv[1:]
    uvloop.run(serve(bootstrap, topic, int(port)))


if __name__ == "__main__":
    main()
