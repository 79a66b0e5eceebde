"""Every read model of the catalogue: rows do not depend on how a log is cut into batches, on repeats, or on the order across contexts."""

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.envelope import RecordedEvent
from contracts.registry import EVENTS
from infra.read_models.base import ReadModel
from projections.catalogue import read_model, read_models
from tests.mixed_log import mixed_log
from tests.unit.projections.recording import tables_after

NAMES = [model.name for model in read_models()]
Rows = dict[tuple[str, ...], dict[str, object]]


@cache
def log_of(name: str) -> Sequence[RecordedEvent]:
    """The events of all the contexts of a read model, one context after the other."""
    logs = mixed_log()
    return [event for context in read_model(name).contexts for event in logs[context]]


@cache
def kept(name: str) -> Rows:
    """The rows when each event is applied for itself."""
    return tables_after(read_model(name), ([event] for event in log_of(name)))


def test_the_log_holds_every_event_of_the_mesh() -> None:
    assert {event.metadata.type_name for log in mixed_log().values() for event in log} == set(EVENTS)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_carries_its_tenant_and_the_version_it_reflects(name: str) -> None:
    model: ReadModel = read_model(name)
    for table in model.tables:
        assert {"tenant_id", "position", table.version} <= set(table.columns)
    tenants = {row["tenant_id"] for row in kept(name).values()}
    assert tenants == {"test-tenant", "other-tenant"}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_rows_do_not_depend_on_batches_and_repeats(name: str, data: st.DataObject) -> None:
    log = log_of(name)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(log) - 1), max_size=6), label="cuts"))
    batches = [log[start:end] for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    repeated = data.draw(st.lists(st.sampled_from(range(len(batches))), max_size=3), label="repeated at the end")
    assert tables_after(read_model(name), [*batches, *(batches[number] for number in repeated)]) == kept(name)


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_depend_on_the_order_across_contexts(name: str) -> None:
    model, logs = read_model(name), mixed_log()
    others = [logs[context] for context in reversed(model.contexts)]
    assert tables_after(model, others) == kept(name)
