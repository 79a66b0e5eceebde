"""The client for asyncio: takes the steps of a call's course on httpx2.AsyncClient; may be shared by tasks."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from agentmesh_client.calls import Accepted, Answer, Call
from agentmesh_client.client import answer_of, with_self
from agentmesh_client.course import FINAL, Course, Renew, Send, Sleep, Step, Steps
from agentmesh_client.errors import AgentMeshError
from agentmesh_client.event_stream import Begin, Following, cut_of, request_stream_call, stream_call
from agentmesh_client.models import Event, Page, Partial, Request
from agentmesh_client.operations import directory, fleet, operating, requests
from agentmesh_client.retries import Retries
from agentmesh_client.signing import Signer, credentials_of

P = ParamSpec("P")
T = TypeVar("T")


def method(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncAgentMesh, P], Coroutine[Any, Any, T]]:
    """An operation as a method that makes the call."""

    @functools.wraps(build)
    async def call(self: AsyncAgentMesh, /, *arguments: P.args, **named: P.kwargs) -> T:
        return await self.run(build(*arguments, **named))

    return with_self(call, build)


def each(build: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[AsyncAgentMesh, P], AsyncIterator[T]]:
    """An operation that lists as a method that goes through all pages."""

    @functools.wraps(build)
    async def call(self: AsyncAgentMesh, /, *arguments: P.args, **named: P.kwargs) -> AsyncIterator[T]:
        page_call = build(*arguments, **named)
        while True:
            page = await self.run(page_call)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            page_call = page_call.at(page.next_cursor)

    call.__doc__ = f"{build.__doc__} Goes on through all pages, from the first or from `cursor`."
    return with_self(call, build)


class AsyncAgentMesh:
    """A gateway, as one caller uses it. Close it, or use it in an `async with`.

    Give one credential: `token`; `api_key`; `login` (as `ann@acme`) and `password`; or `client_id` and `client_secret`. `timeout` is in
    seconds, for each attempt. An `http` of your own (proxies, certificates) stays yours to close."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        api_key: str | None = None,
        login: str | None = None,
        password: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        timeout: float = 30.0,
        retries: Retries = Retries(),
        correlation_id: str | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        credentials = credentials_of(
            token=token, api_key=api_key, login=login, password=password, client_id=client_id, client_secret=client_secret
        )
        self._course = Course(base_url, Signer(credentials), retries, correlation_id)
        self._timeout = timeout
        self._http = http or httpx2.AsyncClient()
        self._owned = http is None
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._owned:
            await self._http.aclose()

    async def run(self, call: Call[T]) -> T:
        """Make a call that was built by hand from `agentmesh_client.operations`. Raises AgentMeshError."""
        return await self._take(self._course.perform(call))

    async def settled(self, found: T | Accepted[T], timeout: float = 60.0) -> T:
        """The outcome of a command: what is Accepted is asked for until it is there, in at most `timeout` seconds; anything else is
        the outcome already. Raises WaitTimedOut; AgentMeshError, where the command is refused."""
        return await self._take(self._course.settled(found, timeout))

    async def wait_for(self, request_id: str, until: Collection[str] = FINAL, timeout: float = 60.0) -> Request:
        """The request, once it has one of these statuses, in at most `timeout` seconds. Raises WaitTimedOut; EndedOtherwise, where it has
        ended in another; AgentMeshError."""
        return await self._take(self._course.wait_for(request_id, until, timeout))

    async def events(
        self,
        *,
        contexts: Collection[str] = (),
        types: Collection[str] = (),
        aggregate_id: str | None = None,
        begin: Begin = "now",
        last_event_id: str | None = None,
        patience: float | None = None,
        silence: float = 60.0,
        correlation_id: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The committed events, without an end: after a cut it goes on where it was, as long as it is without a connection for at most
        `patience` seconds (None: for ever). `last_event_id` is the `place` of the last event that you have dealt with; keep it, and the
        contexts. A connection that brings nothing for `silence` seconds counts as cut. Raises AgentMeshError."""
        call = stream_call(contexts, types, aggregate_id, begin, correlation_id)
        async with aclosing(self._follow(Following(call, last_event_id, patience, self._course.now), silence)) as found:
            async for event in found:
                if isinstance(event, Event):
                    yield event

    async def request_events(
        self,
        request_id: str,
        *,
        begin: Begin = "beginning",
        last_event_id: str | None = None,
        patience: float | None = None,
        silence: float = 60.0,
        correlation_id: str | None = None,
    ) -> AsyncGenerator[Event | Partial, None]:
        """The events of one request from its first on, and between them, where the mesh is set to it, what models say about it meanwhile
        (Partial). Goes on after a cut as `events` does. Raises AgentMeshError."""
        call = request_stream_call(request_id, begin, correlation_id)
        async with aclosing(self._follow(Following(call, last_event_id, patience, self._course.now), silence)) as found:
            async for event in found:
                yield event

    async def _follow(self, following: Following, silence: float) -> AsyncGenerator[Event | Partial, None]:
        while True:
            try:
                async with aclosing(self._followed(following, silence)) as found:
                    async for event in found:
                        yield event
            except AgentMeshError as error:
                if not following.resumes(error):
                    raise
            await self._do(Sleep(following.pause()))

    async def _followed(self, following: Following, silence: float) -> AsyncGenerator[Event | Partial, None]:
        signer = self._course.signer
        if following.renew or signer.due():
            await self._do(Renew(signer.token))
        call = following.call()
        step = self._course.send(call, self._course.id_of(call))
        timeout = httpx2.Timeout(self._timeout, read=silence)
        try:
            async with self._http.stream(step.method, step.url, headers=step.headers, timeout=timeout) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    following.refused(answer_of(answer), signer.renews)
                    return
                following.opened()
                async for piece in answer.aiter_bytes():
                    for event in following.took(piece):
                        yield event
        except httpx2.RequestError as error:
            raise cut_of(error) from error

    async def _take(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._do(step)
                except AgentMeshError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            found: T = end.value
            return found

    async def _do(self, step: Step) -> Answer | None:
        match step:
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Renew(token):
                async with self._renewing:
                    await self._take(self._course.renew(token))
            case Send():
                return await self._send(step)
        return None

    async def _send(self, step: Send) -> Answer:
        timeout = httpx2.Timeout(self._timeout, read=self._timeout + step.longer)
        try:
            found = await self._http.request(step.method, step.url, headers=step.headers, content=step.body, timeout=timeout)
        except httpx2.RequestError as error:
            raise cut_of(error) from error
        return answer_of(found)

    create_request = method(requests.create_request)
    get_request = method(requests.get_request)
    list_requests = method(requests.list_requests)
    all_requests = each(requests.list_requests)
    update_request = method(requests.update_request)
    approve_request = method(requests.approve_request)
    reject_request = method(requests.reject_request)
    delete_request = method(requests.delete_request)
    request_history = method(requests.request_history)
    request_decisions = method(requests.request_decisions)
    request_timeline = method(requests.request_timeline)
    list_approvals = method(requests.list_approvals)
    all_approvals = each(requests.list_approvals)
    get_approval = method(requests.get_approval)
    delegate_approval = method(requests.delegate_approval)
    ask_about_approval = method(requests.ask_about_approval)
    answer_about_approval = method(requests.answer_about_approval)

    create_agent = method(fleet.create_agent)
    get_agent = method(fleet.get_agent)
    list_agents = method(fleet.list_agents)
    all_agents = each(fleet.list_agents)
    terminate_agent = method(fleet.terminate_agent)
    suspend_agent = method(fleet.suspend_agent)
    resume_agent = method(fleet.resume_agent)
    drain_agent = method(fleet.drain_agent)
    change_agent_capabilities = method(fleet.change_agent_capabilities)
    list_tasks = method(fleet.list_tasks)
    all_tasks = each(fleet.list_tasks)
    get_task = method(fleet.get_task)
    cancel_task = method(fleet.cancel_task)

    register_customer = method(directory.register_customer)
    list_customers = method(directory.list_customers)
    all_customers = each(directory.list_customers)
    get_customer = method(directory.get_customer)
    change_customer_tier = method(directory.change_customer_tier)
    change_customer_contact = method(directory.change_customer_contact)
    create_tenant = method(directory.create_tenant)
    list_tenants = method(directory.list_tenants)
    get_tenant = method(directory.get_tenant)
    change_tenant_settings = method(directory.change_tenant_settings)

    get_analytics = method(operating.get_analytics)
    list_dead_letters = method(operating.list_dead_letters)
    all_dead_letters = each(operating.list_dead_letters)
    get_dead_letter = method(operating.get_dead_letter)
    requeue_dead_letters = method(operating.requeue_dead_letters)
    requeue_dead_letter = method(operating.requeue_dead_letter)
    discard_dead_letter = method(operating.discard_dead_letter)
    list_projections = method(operating.list_projections)
    rebuild_projection = method(operating.rebuild_projection)
    get_rebuild = method(operating.get_rebuild)
