"""Runs workers as one process: starts them, serves their health, stops them on a signal and answers the exit code; called by `main`."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from infra.errors import EXIT_CONFIGURATION, ConfigurationError
from infra.health.cached import SharedHealth, shown_by
from infra.resilience.gathering import PRESSURE
from infra.runtime.base import Worker
from infra.runtime.http import HttpServer, build_app
from infra.runtime.run_file import JOIN, RunFile, replica_name
from infra.settings import MeshSettings, SettingsError, load_settings
from infra.telemetry.logs import adopt_foreign_loggers, flush_logs
from infra.telemetry.telemetry import Telemetry

EXIT_FAILED = 1
LIVENESS_SECONDS = 60.0
# A worker whose liveness is red gets this long to stop: what hangs will not, and its neighbours need little.
STUCK_GRACE_SECONDS = 5.0
# Of the grace period, what is kept for flushing spans and closing.
CLOSE_SHARE = 0.15
CLOSE_SECONDS = 4.0
# Reference counts free what the work makes. A collection of the young generation walks a batch's objects, finds nothing, and takes a
# third of a command worker's time; so the collector runs by the clock, for the few cycles that exceptions leave.
GC_THRESHOLD = (0, 0, 0)
GC_INTERVAL_SECONDS = 10.0
EXAMINE_SECONDS = 15.0
SHOWN_TASKS = 200


class ProcessSettings(Protocol):
    """The settings that a process reads; `infra.settings.MeshSettings` has them."""

    @property
    def health_host(self) -> str: ...
    @property
    def health_port(self) -> int: ...
    @property
    def grace_seconds(self) -> float: ...
    @property
    def home(self) -> Path: ...


Build = Callable[[MeshSettings, Telemetry], Worker]


def main(builders: Mapping[str, Build], settings: MeshSettings | None = None, *, liveness_seconds: float | None = None) -> int:
    """Build the named workers inside a new event loop and run them to the end; answers the process's exit code.

    0 after a signal, 78 with one line on stderr for a configuration that only a person can mend, 1 when a worker died, hung or did not
    stop in time.
    """
    try:
        settings = settings or load_settings()
        telemetry = Telemetry(JOIN.join(builders), settings)
    except (ConfigurationError, SettingsError) as error:
        return _refuse(replica_name(builders), error)

    async def build_and_run(settings: MeshSettings) -> int:
        try:
            workers = [build(settings, telemetry) for build in builders.values()]
        except (ConfigurationError, SettingsError) as error:
            return _refuse(replica_name(builders), error)
        return await run_process(workers, settings, telemetry, liveness_seconds=liveness_seconds or settings.liveness_seconds)

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(build_and_run(settings))
            # Closing the loop waits for every task and thread left; one that never ends must not keep the process.
            _watch_thread(CLOSE_SECONDS)
    except Exception:
        telemetry.logger.exception("the process failed")
        return EXIT_FAILED
    finally:
        faulthandler.cancel_dump_traceback_later()
        flush_logs()
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # absent on some platforms
    except ImportError:
        return None
    return uvloop.new_event_loop


def _refuse(name: str, error: Exception) -> int:
    line = " ".join(str(error).split())
    print(f"agentmesh {name}: {line}", file=sys.stderr, flush=True)
    return EXIT_CONFIGURATION


def _watch_thread(seconds: float) -> None:
    """Arm (or arm anew) a watch outside the event loop: after `seconds` of silence it prints every thread's stack and exits with 1."""
    if sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)


async def run_process(
    workers: Sequence[Worker], settings: ProcessSettings, telemetry: Telemetry, *, liveness_seconds: float = LIVENESS_SECONDS
) -> int:
    """Run the workers until a signal comes or one fails; answers the exit code. Call it once per process, in the main thread."""
    return await _Process(workers, settings, telemetry, liveness_seconds).run()


class _Process:
    """The life of one process: starting, running, draining."""

    def __init__(self, workers: Sequence[Worker], settings: ProcessSettings, telemetry: Telemetry, liveness_seconds: float) -> None:
        self._workers = workers
        self._settings = settings
        self._telemetry = telemetry
        self._logger = telemetry.logger
        self._liveness_seconds = liveness_seconds
        self._name = replica_name(worker.name for worker in workers)
        self._phase = "starting"
        self._began = time.monotonic()
        self._stop = asyncio.Event()
        self._touched: list[Worker] = []
        shown = telemetry.metrics.component_health
        self.health = SharedHealth(lambda: [check for worker in self._workers for check in worker.health_checks()], shown_by(shown))
        """Every check of every worker."""

    async def run(self) -> int:
        """Everything from the first signal handler to the last flush."""
        self._show_attempts()
        app = build_app(self.health, self.not_ready, self.not_live, self._telemetry.metrics.registry)
        try:
            server = HttpServer(app, self._settings.health_host, self._settings.health_port)
        except ConfigurationError as error:
            return _refuse(self._name, error)
        run_file = RunFile(self._settings.home, self._name)
        thresholds = gc.get_threshold()
        self._listen_to_signals()
        try:
            await server.start()
            run_file.write(server.port)
            self._logger.info("process started", workers=[worker.name for worker in self._workers], pid=os.getpid(), port=server.port)
            code = await self._work()
            await server.stop()
            await asyncio.to_thread(self._telemetry.shutdown, self._closing_seconds())
            return code
        finally:
            faulthandler.cancel_dump_traceback_later()
            gc.unfreeze()
            gc.set_threshold(*thresholds)
            self._ignore_signals()
            run_file.remove()
            flush_logs()

    def _show_attempts(self) -> None:
        """What is read when the metrics are, of this process itself; no server is asked."""
        metrics = self._telemetry.metrics
        metrics.gather_seconds.set_function(lambda: PRESSURE.gather_ms() / 1000)
        for worker in self._workers:
            metrics.worker_attempt_timestamp_seconds.labels(worker=worker.name).set_function(partial(_attempt_time, worker))

    async def _work(self) -> int:
        watch = asyncio.create_task(self._liveness_lost(), name="liveness")
        stop = asyncio.create_task(self._stop.wait(), name="signal")
        collector = asyncio.create_task(_collect_garbage(), name="garbage")
        examining = asyncio.create_task(self._examine(), name="health")
        try:
            code, grace = await self._until_over(stop, watch)
        finally:
            watch.cancel()
            stop.cancel()
            collector.cancel()
            examining.cancel()
        clean = await self._drain(min(grace, self._settings.grace_seconds - self._closing_seconds()))
        self._logger.info("process ends", exit_code=code or (0 if clean else EXIT_FAILED))
        return code or (0 if clean else EXIT_FAILED)

    def _closing_seconds(self) -> float:
        return min(CLOSE_SECONDS, self._settings.grace_seconds * CLOSE_SHARE)

    async def _until_over(self, stop: asyncio.Task[Any], watch: asyncio.Task[str]) -> tuple[int, float]:
        """Start, then wait for a signal, a death or a hang; answers the exit code and how long to drain."""
        grace = self._settings.grace_seconds
        starting = asyncio.create_task(self._start(), name="start")
        await self._first({stop, watch, starting})
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting}, timeout=STUCK_GRACE_SECONDS)
        elif (error := starting.exception()) is not None:
            return self._died("did not start", error), grace
        failures = {self._task(worker.wait_failed(), worker.name): worker for worker in self._touched if self._phase == "running"}
        try:
            await self._first({stop, watch, *failures})
            if self._stop.is_set():
                return 0, grace
            if watch.done():
                error = watch.exception()
                return (self._died("liveness cannot be judged", error) if error else self._hung(watch.result())), STUCK_GRACE_SECONDS
            ended, worker = next((task, worker) for task, worker in failures.items() if task.done())
            return self._died(f"worker {worker.name} died", ended.exception()), grace
        finally:
            for task in failures:
                task.cancel()
            await asyncio.gather(*failures, return_exceptions=True)

    async def _first(self, tasks: set[asyncio.Task[Any]]) -> None:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    def _task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.create_task(work, name=name)

    async def _start(self) -> None:
        for worker in self._workers:
            self._touched.append(worker)
            await worker.start()
        adopt_foreign_loggers()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        if self._phase == "starting":  # a signal may have come meanwhile
            self._phase = "running"

    def _died(self, what: str, error: BaseException | None) -> int:
        refusal = _configuration_error(error)
        if refusal is not None:
            self._logger.error("refused its configuration: %s", str(refusal), workers=[worker.name for worker in self._workers])
            return _refuse(self._name, refusal)
        if error is None:
            self._logger.error("%s: it ended without being asked to", what)
        else:
            self._logger.error("%s", what, exc_info=error)
        return EXIT_FAILED

    def _hung(self, reason: str) -> int:
        self._logger.error("a worker hangs, the process ends so that it is started anew: %s", reason, tasks=_stacks())
        return EXIT_FAILED

    async def _drain(self, seconds: float) -> bool:
        """Stop every worker at once; True when all of them ended in time and without an error."""
        self._phase = "draining"
        _watch_thread(seconds + 2 * CLOSE_SECONDS)  # the process ends in time, even when a worker blocks the loop
        stopping = {self._task(worker.stop(), f"stop-{worker.name}"): worker for worker in self._touched}
        if not stopping:
            return True
        done, late = await asyncio.wait(stopping, timeout=seconds)
        for task in late:
            self._logger.error("worker %s did not stop within %.0f s; what it held is delivered again", stopping[task].name, seconds)
            task.cancel()
        failed = [task for task in done if not task.cancelled() and task.exception() is not None]
        for task in failed:
            self._logger.error("worker %s failed to stop", stopping[task].name, exc_info=task.exception())
        return not late and not failed

    # --- signals -----------------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _ignore_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._logger.warning("second signal %s: ending at once", number.name)
            flush_logs()
            os._exit(128 + number)
        self._phase = "draining"
        self._stop.set()
        self._logger.info("draining on %s", number.name)

    # --- health ------------------------------------------------------------------------------------------------------

    def not_ready(self) -> str | None:
        """Why no work should be expected, as far as this process itself knows."""
        return None if self._phase == "running" else self._phase

    def not_live(self) -> str | None:
        """Which worker has made no attempt for too long; asks nobody."""
        now = time.monotonic()
        for worker in self._workers:
            silent = now - max(worker.last_attempt(), self._began)
            if silent > self._liveness_seconds:
                return f"worker {worker.name} made no attempt for {silent:.0f} s"
        return None

    async def _examine(self) -> None:
        """Look at the components from time to time, so that the metrics know of them where nobody asks for the health."""
        while True:
            await asyncio.sleep(EXAMINE_SECONDS)
            await self.health()

    async def _liveness_lost(self) -> str:
        """Return when liveness has been red for longer than the limit.

        Counted in looks, not by the clock: a process that was paused gets its chance to make an attempt before it is judged. Each look
        also tells a thread outside the loop that the loop turns.
        """
        interval = min(1.0, self._liveness_seconds / 10)
        red = 0
        while red * interval <= self._liveness_seconds:
            _watch_thread(2 * self._liveness_seconds)
            await asyncio.sleep(interval)
            red = red + 1 if self.not_live() else 0
        return self.not_live() or "it hung for a while"


def _attempt_time(worker: Worker) -> float:
    """When the worker made its last attempt, in seconds of the epoch."""
    return time.time() - max(0.0, time.monotonic() - worker.last_attempt())


def _configuration_error(error: BaseException | None) -> Exception | None:
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _configuration_error(inner)) is not None), None)
    return error if isinstance(error, (ConfigurationError, SettingsError)) else None


def _stacks() -> dict[str, str]:
    """Where every task of this loop stands."""
    stacks = {}
    for task in list(asyncio.all_tasks())[:SHOWN_TASKS]:
        text = io.StringIO()
        task.print_stack(limit=20, file=text)
        stacks[task.get_name()] = text.getvalue()
    return stacks


async def _collect_garbage() -> None:
    while True:
        await asyncio.sleep(GC_INTERVAL_SECONDS)
        gc.collect()
