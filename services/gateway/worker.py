"""The parts list of the gateway; run by `agentmesh run gateway`."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from fastapi.routing import APIRoute
from opentelemetry.trace import TracerProvider
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from contracts.topics import commands_topic
from infra.cache.cached import CacheAside
from infra.cache.guarded import GuardedCache
from infra.cache.keys import AGENT, CUSTOMER, LIST, TENANT
from infra.cache.redis import RedisCache
from infra.cache.settings import CacheSettings, load_cache_settings
from infra.commands.kafka import KafkaCommandPublisher
from infra.dead_letters.tenants import PostgresLettersOfTenants
from infra.errors import ConfigurationError
from infra.event_store.heads import LogHeads
from infra.event_streams.base import Ended
from infra.event_streams.tail import SharedTail
from infra.fleet.now import FleetNow
from infra.health.cached import SharedHealth
from infra.identity.accounts_postgres import PostgresAccounts
from infra.identity.base import Permission, TokenVerifier
from infra.identity.directory import AccountDirectory
from infra.identity.foreign import Issuers
from infra.identity.foreign_settings import ForeignIssuerSettings, foreign_issuer
from infra.identity.passwords import SecretHasher
from infra.identity.permissions import permits
from infra.identity.remembered import RememberedTokens
from infra.identity.settings import load_token_settings, token_issuer
from infra.identity.sign_in import SignIn
from infra.kafka.producer import PagePublisher
from infra.models.recorded_calls import PostgresRecordedCalls
from infra.outcomes.waiting import StoreOutcomes, WatchedVersions
from infra.partial_outputs.redis import RedisHeardPieces
from infra.positions.states import PostgresReadModelStates
from infra.positions.watched import KafkaEnds, WatchedPositions
from infra.postgres.base import QueryPort, TenantReads
from infra.postgres.tenant_reads import PostgresTenantReads
from infra.rate_limit.fallback import FallbackRateLimiter
from infra.rate_limit.memory import InMemoryRateLimiter
from infra.rate_limit.redis import RedisRateLimiter
from infra.rate_limit.settings import RateLimitSettings
from infra.rebuild_orders.postgres import PostgresRebuildOrders
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.runtime.connected_worker import DRAIN_SHARE, ConnectedWorker
from infra.runtime.connections import ConnectionLimits
from infra.runtime.http import HttpServer
from infra.runtime.http import build_app as health_app
from infra.runtime.tls import certificate_expiry, server_context
from infra.settings import MeshSettings
from infra.telemetry.bounded import exemplar
from infra.telemetry.context import bind
from infra.telemetry.metrics import Metrics
from infra.telemetry.telemetry import Telemetry
from projections.agents.queries import agent_versions
from projections.approvals.queries import approval_versions
from projections.customers.queries import customer_versions
from projections.requests.queries import request_versions
from projections.tasks.queries import task_versions
from projections.tenants.queries import tenant_versions
from services.gateway.access import Access, ApiKeys
from services.gateway.app import HEALTH_PATHS, build_app
from services.gateway.cached_reads import CachedReads
from services.gateway.calls import TRACEPARENT
from services.gateway.console.console import Around, Console
from services.gateway.console.fleet import KeptFleet
from services.gateway.console.people import People
from services.gateway.edge import Application, raw_refusal
from services.gateway.limits import CLASSES, RateLimits, TenantLimits
from services.gateway.operators import OPEN_IN, Operators
from services.gateway.orders import Orders
from services.gateway.resources.agents import AgentV1Routes, AgentV2Routes
from services.gateway.resources.analytics import AnalyticsRoutes
from services.gateway.resources.approvals import ApprovalRoutes
from services.gateway.resources.base import Parts, Routes
from services.gateway.resources.customers import CustomerRoutes
from services.gateway.resources.dead_letters import DeadLetterRoutes
from services.gateway.resources.events import EventRoutes, RequestStreamRoutes
from services.gateway.resources.projections import ProjectionRoutes
from services.gateway.resources.requests import RequestRoutes
from services.gateway.resources.tasks import TaskRoutes
from services.gateway.resources.tenants import TenantRoutes
from services.gateway.settings import GatewaySettings
from services.gateway.streams import STREAM, Closed, Streams
from services.gateway.token_route import TokenRoute

# How long a read waits for a connection while the database is away, before the caller is told.
ACQUIRE_SECONDS = 5.0
ATTEMPT_SECONDS = 1.0
LIVENESS_SECONDS = 60.0
BACKLOG = 2_048
# Longer than proxies and clients keep idle connections, so that a call does not meet one that is just being closed.
KEEP_ALIVE_SECONDS = 75
CONTEXTS = ("requests", "agents", "tasks", "customers", "tenants")
ROUTES: Sequence[type[Routes]] = (
    RequestRoutes,
    ApprovalRoutes,
    AgentV1Routes,
    AgentV2Routes,
    TaskRoutes,
    CustomerRoutes,
    TenantRoutes,
    AnalyticsRoutes,
    DeadLetterRoutes,
    ProjectionRoutes,
)
SHOWN_VERSIONS: Mapping[str, Callable[[QueryPort, Sequence[str]], Awaitable[Mapping[str, int]]]] = {
    "requests": request_versions,
    "approvals": approval_versions,
    "agents": agent_versions,
    "tasks": task_versions,
    "customers": customer_versions,
    "tenants": tenant_versions,
}
"""How to ask each read model in which a command's outcome is shown."""
S = TypeVar("S", bound=BaseSettings)
logger = logging.getLogger(__name__)


class Counted:
    """Counts calls on the process's metrics. What can be refused is known before it is."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for permission in Permission:
            metrics.permissions_refused_total.labels(permission.value)
        for route_class in CLASSES:
            metrics.rate_limited_total.labels(route_class)

    def know(self, routes: Iterable[APIRoute]) -> None:
        """What is answered well, and what fails, begins at 0 on each route: a rate of failures is then 0 and not unknown."""
        for route in routes:
            for method in sorted(route.methods or ()):
                for status in (route.status_code or 200, 500, 503):
                    self._metrics.http_requests_total.labels(method, route.path, status)

    def began(self) -> None:
        """A call has come in."""
        self._metrics.active_requests.inc()

    def ended(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """A call was answered; status 0 where its caller went away before."""
        self._metrics.active_requests.dec()
        self._metrics.http_requests_total.labels(method, endpoint, status).inc()
        self._metrics.http_request_duration_seconds.labels(method, endpoint).observe(seconds, exemplar())

    def forbidden(self, permission: str) -> None:
        """A caller who is known lacks a permission."""
        self._metrics.permissions_refused_total.labels(permission).inc()

    def limited(self, route_class: str) -> None:
        """A caller has used up what it may call."""
        self._metrics.rate_limited_total.labels(route_class).inc()


class CountedStreams:
    """Counts streams of events on the process's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for reason in (*Ended, *Closed):
            metrics.event_streams_closed_total.labels(reason)
        self._limited = metrics.rate_limited_total.labels(STREAM)

    def opened(self) -> None:
        """A stream has begun."""
        self._metrics.event_streams.inc()

    def sent(self, events: int) -> None:
        """Events went out on a stream."""
        self._metrics.events_streamed_total.inc(events)

    def closed(self, reason: str) -> None:
        """A stream has ended."""
        self._metrics.event_streams.dec()
        self._metrics.event_streams_closed_total.labels(reason).inc()

    def limited(self) -> None:
        """A tenant has as many streams open as it may."""
        self._limited.inc()


class GatewayWorker(ConnectedWorker):
    """Serves the API while schema and topics are right. A command that it answered 201, 200, 204 or 202 for is on its topic."""

    def __init__(self, settings: MeshSettings, telemetry: Telemetry, own: GatewaySettings) -> None:
        quick = {"pool_acquire_timeout_seconds": min(settings.pool_acquire_timeout_seconds, ACQUIRE_SECONDS)}
        super().__init__("gateway", CONTEXTS, settings.model_copy(update=quick), telemetry)
        self._own = own
        self._tls = tls_of(own)
        if own.tls_certificate_file is not None and (expiry := certificate_expiry(own.tls_certificate_file)) is not None:
            telemetry.metrics.tls_certificate_expiry_timestamp_seconds.labels(certificate="gateway").set(expiry)
        self._publisher = KafkaCommandPublisher(
            PagePublisher(settings, settings.kafka_bootstrap, "agentmesh-gateway"),
            topic_prefix=settings.topic_prefix,
            most_waiting=own.most_waiting_commands,
            seconds=own.publish_timeout_seconds,
        )
        self._reads = PostgresTenantReads(self.settings, "agentmesh.gateway.reads", telemetry.tracing.provider)
        self._outcomes = StoreOutcomes(self.stores)
        self._versions = {name: WatchedVersions(partial(versions, self.database)) for name, versions in SHOWN_VERSIONS.items()}
        self._redis = self._redis_pool("gateway.redis", telemetry.tracing.provider)
        token_settings = load_token_settings()
        tokens = token_issuer(token_settings)
        self._foreign = foreign_issuer(loaded(ForeignIssuerSettings), token_settings.issuer)
        sign_in = SignIn(PostgresAccounts(self.database), SecretHasher(), telemetry.metrics)
        limits = self._limits(loaded(RateLimitSettings), self._reads)
        self._access = Access(self._remembered(tokens), ApiKeys(sign_in, own.api_key_seconds), permits, limits)
        orders = Orders(self._publisher, self._outcomes, self._versions)
        self._ends = KafkaEnds(self.settings, "agentmesh-gateway-ends")
        self._positions = WatchedPositions(self.database, self._ends, partitions=settings.partitions, topic_prefix=settings.topic_prefix)
        states = PostgresReadModelStates(self.database, self._positions, settings.topic_prefix)
        letters = PostgresLettersOfTenants(self.database)
        cached = CachedReads(self._cache_aside(load_cache_settings()), self._reads)
        rebuilds, operators = PostgresRebuildOrders(self.database), Operators(own.operator_tenants, settings.environment)
        parts = Parts(own, self._access, self._reads, orders, cached, self._positions, letters, states, rebuilds, operators)
        health = health_app(SharedHealth(self.health_checks), self._not_ready, self._not_live, telemetry.metrics.registry)
        heads = LogHeads(self.database, CONTEXTS)
        self._tail = SharedTail(self.stores, heads, poll_seconds=own.stream_poll_ms / 1000, queue_events=own.stream_queue_events)
        self._heard = RedisHeardPieces(self._redis_pool("gateway.redis.partial-outputs"), settings.topic_prefix)
        streams = Streams(self._tail, own, CountedStreams(telemetry.metrics))
        routers = [
            TokenRoute(sign_in, tokens, limits).router(),
            *(routes(parts).router() for routes in ROUTES),
            EventRoutes(self._access, streams).router(),
            RequestStreamRoutes(self._access, streams, RequestRoutes(parts), self._heard).router(),
        ]
        around = Around(
            sign_in,
            tokens,
            limits,
            self._people(),
            KeptFleet(FleetNow(settings, "agentmesh-gateway-fleet")),
            PostgresRecordedCalls(self.database),
            settings.trace_url,
            settings.environment,
            telemetry.version,
        )
        console = Console(parts, around)
        counted = Counted(telemetry.metrics)
        served = (route for router in (*routers, console.router()) for route in router.routes)
        counted.know(route for route in served if isinstance(route, APIRoute))
        self._app = traced(build_app(routers, own, counted, bind, telemetry.version, health, console), telemetry)
        self._server: HttpServer | None = None

    def _redis_pool(self, name: str, spans: TracerProvider | None = None) -> RedisPool:
        pool = RedisPool(self.settings.redis_dsn, loaded(RedisPoolSettings), spans)
        self.telemetry.metrics.show_pool(name, pool.connections)
        return pool

    def _remembered(self, own: TokenVerifier) -> RememberedTokens:
        """The verifier of all tokens: a foreign issuer's are read anew when its keys have changed."""
        if self._foreign is None:
            return RememberedTokens(own)
        remembered = RememberedTokens(Issuers(own, {self._foreign.name: self._foreign.tokens}))
        self._foreign.keys.when_changed(remembered.forget)
        return remembered

    def _people(self) -> People:
        """Who has a login; and whether others sign in without one."""
        others = self._foreign is not None or self.settings.environment in OPEN_IN
        return People(AccountDirectory(PostgresAccounts(self.database).users), permits, others=others)

    def _limits(self, settings: RateLimitSettings, reads: TenantReads) -> RateLimits:
        """Limits that hold while Redis is away, too."""
        shared = RedisRateLimiter(lambda: self._redis.client, self.settings.topic_prefix + settings.namespace)
        limiter = FallbackRateLimiter(shared, InMemoryRateLimiter(settings.max_keys), self.telemetry.metrics, settings)
        return RateLimits(limiter, TenantLimits(reads, settings.limit, self._own.tenant_limit_seconds))

    def _cache_aside(self, settings: CacheSettings) -> CacheAside:
        """Reads through the cache; past it while Redis is away."""
        shared = RedisCache(lambda: self._redis.client, self.settings.topic_prefix + settings.namespace)
        for kind in (AGENT, CUSTOMER, LIST, TENANT):
            self.telemetry.metrics.cache_hits_total.labels(kind)
            self.telemetry.metrics.cache_misses_total.labels(kind)
        self._cache = GuardedCache(shared, self.telemetry.metrics, settings)
        return CacheAside(self._cache, self.telemetry.metrics, settings)

    def required_topics(self) -> Collection[str]:
        """The command topics of the contexts that the API speaks to."""
        return [commands_topic(context) for context in CONTEXTS]

    async def start(self) -> None:
        """Open the pool of the reads beside the worker's own."""
        await self._reads.open()
        self.telemetry.metrics.show_pool("gateway.reads", self._reads.database.connections)
        await super().start()

    async def stop(self) -> None:
        """Drain, and close everything."""
        await super().stop()
        await self._reads.close()

    async def run(self) -> None:
        """Listen, until asked to stop."""
        await self.retry(self.stopping)("reads", self._reads.check)
        await self._redis.start()
        if self._foreign is not None:
            self._foreign.keys.start()
        self._server = HttpServer(
            self._app,
            self._own.host,
            self._own.port,
            what="The API",
            variable="AGENTMESH_GATEWAY_PORT",
            backlog=BACKLOG,
            drain_seconds=self.settings.grace_seconds * DRAIN_SHARE,
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
            tls=self._tls,
            limits=ConnectionLimits(self._own.most_connections, self._own.header_limit_bytes, self._own.header_timeout_seconds),
            refusal=partial(raw_refusal, settings=self._own),
        )
        await self._server.start()
        logger.info("the API is served", extra={"url": self._own.url, "port": self._server.port})
        self.working = True
        while not self.stopping.is_set():
            self.attempted()
            await self.pause(ATTEMPT_SECONDS)

    def _not_ready(self) -> str | None:
        return "draining" if self.stopping.is_set() else None

    def _not_live(self) -> str | None:
        silent = time.monotonic() - self.last_attempt()
        return f"no attempt for {silent:.0f} s" if silent > LIVENESS_SECONDS else None

    async def drain(self) -> None:
        """End the streams, take no new connection, answer what is under way, publish what waits."""
        await self._tail.close()
        if self._server is not None:
            await self._server.stop()
        if self._foreign is not None:
            await self._foreign.close()
        await self._publisher.close()
        await self._outcomes.close()
        for versions in self._versions.values():
            await versions.close()
        await self._positions.close()
        await self._ends.close()
        await self._cache.close()
        await self._heard.close()
        await self._redis.close()


def traced(app: Application, telemetry: Telemetry) -> Application:
    """The application with a span around each call, where tracing is on."""
    provider = telemetry.tracing.server_provider
    if provider is None:
        return app
    from infra.telemetry.http import TracedHttp  # the instrumentation is only loaded where it is used

    return TracedHttp(app, provider, key=TRACEPARENT, untraced=HEALTH_PATHS)


def tls_of(own: GatewaySettings) -> ssl.SSLContext | None:
    """How connections are encrypted, or None where they are not. Raises ConfigurationError that names the setting."""
    if own.tls_certificate_file is None or own.tls_key_file is None:
        return None
    names = {
        "certificate_setting": "AGENTMESH_GATEWAY_TLS_CERTIFICATE_FILE",
        "key_setting": "AGENTMESH_GATEWAY_TLS_KEY_FILE",
    }
    return server_context(own.tls_certificate_file, own.tls_key_file, **names)


def loaded(kind: type[S]) -> S:
    """Settings of this kind. Raises ConfigurationError that names the variable and never the value."""
    try:
        return kind()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        prefix = str(kind.model_config.get("env_prefix", ""))
        named = [f"{(prefix + str(fault['loc'][0]).upper() + ': ') if fault['loc'] else ''}{fault['msg']}" for fault in faults]
        raise ConfigurationError("Invalid settings. " + "; ".join(named)) from None


def own_settings() -> GatewaySettings:
    """The gateway's settings. Raises ConfigurationError."""
    return loaded(GatewaySettings)


def build(settings: MeshSettings, telemetry: Telemetry) -> GatewayWorker:
    """The gateway. Raises ConfigurationError without a key for tokens (SEC-01)."""
    return GatewayWorker(settings, telemetry, own_settings())
