"""The client for programs without an event loop: takes the steps of a call's course on httpx2.Client; may be shared by threads."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from agentmesh_client.calls import Accepted, Answer, Call
from agentmesh_client.course import FINAL, Course, Renew, Send, Sleep, Step, Steps
from agentmesh_client.errors import AgentMeshError
from agentmesh_client.event_stream import Begin, Following, cut_of, request_stream_call, stream_call
from agentmesh_client.models import Event, Page, Partial, Request
from agentmesh_client.operations import directory, fleet, operating, requests
from agentmesh_client.retries import Retries
from agentmesh_client.signing import Signer, credentials_of

P = ParamSpec("P")
T = TypeVar("T")


def method(build: Callable[P, Call[T]]) -> Callable[Concatenate[AgentMesh, P], T]:
    """An operation as a method that makes the call."""

    @functools.wraps(build)
    def call(self: AgentMesh, /, *arguments: P.args, **named: P.kwargs) -> T:
        return self.run(build(*arguments, **named))

    return with_self(call, build)


def each(build: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[AgentMesh, P], Iterator[T]]:
    """An operation that lists as a method that goes through all pages."""

    @functools.wraps(build)
    def call(self: AgentMesh, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        page_call = build(*arguments, **named)
        while True:
            page = self.run(page_call)
            yield from page.items
            if page.next_cursor is None:
                return
            page_call = page_call.at(page.next_cursor)

    call.__doc__ = f"{build.__doc__} Goes on through all pages, from the first or from `cursor`."
    return with_self(call, build)


def with_self(call: Callable[P, T], build: Callable[..., Any]) -> Callable[P, T]:
    """The method with the signature that `help` shows."""
    found = inspect.signature(build)
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    call.__signature__ = found.replace(parameters=[first, *found.parameters.values()])  # type: ignore[attr-defined]
    return call


class AgentMesh:
    """A gateway, as one caller uses it. Close it, or use it in a `with`.

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
        http: httpx2.Client | None = None,
    ) -> None:
        credentials = credentials_of(
            token=token, api_key=api_key, login=login, password=password, client_id=client_id, client_secret=client_secret
        )
        self._course = Course(base_url, Signer(credentials), retries, correlation_id)
        self._timeout = timeout
        self._http = http or httpx2.Client()
        self._owned = http is None
        self._renewing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._owned:
            self._http.close()

    def run(self, call: Call[T]) -> T:
        """Make a call that was built by hand from `agentmesh_client.operations`. Raises AgentMeshError."""
        return self._take(self._course.perform(call))

    def settled(self, found: T | Accepted[T], timeout: float = 60.0) -> T:
        """The outcome of a command: what is Accepted is asked for until it is there, in at most `timeout` seconds; anything else is
        the outcome already. Raises WaitTimedOut; AgentMeshError, where the command is refused."""
        return self._take(self._course.settled(found, timeout))

    def wait_for(self, request_id: str, until: Collection[str] = FINAL, timeout: float = 60.0) -> Request:
        """The request, once it has one of these statuses, in at most `timeout` seconds. Raises WaitTimedOut; EndedOtherwise, where it has
        ended in another; AgentMeshError."""
        return self._take(self._course.wait_for(request_id, until, timeout))

    def events(
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
    ) -> Generator[Event, None, None]:
        """The committed events, without an end: after a cut it goes on where it was, as long as it is without a connection for at most
        `patience` seconds (None: for ever). `last_event_id` is the `place` of the last event that you have dealt with; keep it, and the
        contexts. A connection that brings nothing for `silence` seconds counts as cut. Raises AgentMeshError."""
        call = stream_call(contexts, types, aggregate_id, begin, correlation_id)
        with closing(self._follow(Following(call, last_event_id, patience, self._course.now), silence)) as found:
            for event in found:
                if isinstance(event, Event):
                    yield event

    def request_events(
        self,
        request_id: str,
        *,
        begin: Begin = "beginning",
        last_event_id: str | None = None,
        patience: float | None = None,
        silence: float = 60.0,
        correlation_id: str | None = None,
    ) -> Generator[Event | Partial, None, None]:
        """The events of one request from its first on, and between them, where the mesh is set to it, what models say about it meanwhile
        (Partial). Goes on after a cut as `events` does. Raises AgentMeshError."""
        call = request_stream_call(request_id, begin, correlation_id)
        yield from self._follow(Following(call, last_event_id, patience, self._course.now), silence)

    def _follow(self, following: Following, silence: float) -> Generator[Event | Partial, None, None]:
        while True:
            try:
                yield from self._followed(following, silence)
            except AgentMeshError as error:
                if not following.resumes(error):
                    raise
            self._do(Sleep(following.pause()))

    def _followed(self, following: Following, silence: float) -> Generator[Event | Partial, None, None]:
        signer = self._course.signer
        if following.renew or signer.due():
            self._do(Renew(signer.token))
        call = following.call()
        step = self._course.send(call, self._course.id_of(call))
        timeout = httpx2.Timeout(self._timeout, read=silence)
        try:
            with self._http.stream(step.method, step.url, headers=step.headers, timeout=timeout) as answer:
                if answer.status_code != 200:
                    answer.read()
                    following.refused(answer_of(answer), signer.renews)
                    return
                following.opened()
                for piece in answer.iter_bytes():
                    yield from following.took(piece)
        except httpx2.RequestError as error:
            raise cut_of(error) from error

    def _take(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    result = self._do(step)
                except AgentMeshError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            found: T = end.value
            return found

    def _do(self, step: Step) -> Answer | None:
        match step:
            case Sleep(seconds):
                time.sleep(seconds)
            case Renew(token):
                with self._renewing:
                    self._take(self._course.renew(token))
            case Send():
                return self._send(step)
        return None

    def _send(self, step: Send) -> Answer:
        timeout = httpx2.Timeout(self._timeout, read=self._timeout + step.longer)
        try:
            found = self._http.request(step.method, step.url, headers=step.headers, content=step.body, timeout=timeout)
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


def answer_of(found: httpx2.Response) -> Answer:
    """An answer that was read, without the library's types."""
    return Answer(found.status_code, {name.lower(): value for name, value in found.headers.items()}, found.content)
