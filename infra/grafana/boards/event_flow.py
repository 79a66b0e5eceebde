"""The way of commands and events: topics, append, relay, projections, lag, dead letters; written by `make dashboards`."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.topics import CONTEXTS
from infra.grafana.board import Board, Row
from infra.grafana.panels import Panels, above, below, rows, series, stat
from infra.grafana.queries import Query, counted, leaders, or_zero, parked_keys, quantile, quantiles, rate, statement, union

APPEND = "agentmesh_event_append_duration_seconds"
BY_CAUSE = statement("dead_letters").replace("{letters}", union("letters_of_context", CONTEXTS))
POSITIONS = statement("log_positions").replace("{heads}", union("head_of_context", CONTEXTS))
READ_MODELS = statement("read_models")


def panels() -> Sequence[Row]:
    """The panels, top to bottom."""
    return (
        Row("Is all well?", _well()),
        Row("Commands in", _commands()),
        Row("Events out", _events()),
        Row("Lag", _lag()),
        Row("Dead letters", _letters()),
    )


def _well() -> Panels:
    return [*_lag_well(), *_letters_well()]


def _lag_well() -> Panels:
    return [
        stat(
            "Largest lag",
            "s",
            "The oldest record that somebody has not handled. Seconds are normal under load; minutes mean that it stands still.",
            "max(agentmesh_lag_seconds)",
            above(30, 120),
            runbook="consumer-lag-growing",
        ),
        stat(
            "Messages behind",
            "none",
            "Records and events not yet handled, summed over consumer groups, relays and read models. It must come back to nearly nothing.",
            "sum(kind_name:agentmesh_lag_messages:max)",
            above(10_000, 100_000),
        ),
        stat(
            "Not yet relayed",
            "none",
            "Events that are recorded and not yet on Kafka. They are safe; while it grows, no relay publishes or Kafka is away.",
            'sum(kind_name:agentmesh_lag_messages:max{kind="relay"})',
            above(5_000, 50_000),
            runbook="relay-lag-growing",
        ),
        stat(
            "Relay leaders",
            "none",
            f"Contexts that some relay publishes. Below {len(CONTEXTS)}, the events of a context reach nobody.",
            leaders(),
            below(1, len(CONTEXTS)),
            runbook="relay-without-leader",
        ),
    ]


def _letters_well() -> Panels:
    return [
        stat(
            "Append, p99",
            "s",
            "Time of one append transaction. It holds its context's lock: above 100 ms it bounds what the context can do.",
            quantile(0.99, APPEND, window="$__range"),
            above(0.1, 0.5),
            spark=False,
            runbook="event-append-slow",
        ),
        stat(
            "Parked keys",
            "none",
            "Aggregates that stand still behind a dead letter. Above 0: requeue or discard; all other keys flow on.",
            parked_keys(),
            above(1),
            runbook="keys-parked",
        ),
        stat(
            "Oldest parked",
            "s",
            "How long the oldest dead letter has waited for a person. Hours mean that somebody's request stands still unseen.",
            or_zero("max(agentmesh_oldest_parked_seconds)"),
            above(900, 3_600),
            runbook="parked-too-long",
        ),
        stat(
            "Rebalances",
            "none",
            "Times that partitions were given out anew in the time shown. A few at each start are normal; a steady rate is a "
            "worker that comes and goes.",
            or_zero(counted("agentmesh_rebalances_total")),
            above(20, 100),
            decimals=0,
        ),
    ]


def _commands() -> Panels:
    return [
        series(
            "Commands by outcome",
            "cps",
            "Commands settled: events, unchanged, rejected, parked. A rise of `parked` is a defect, of `rejected` a caller in error.",
            [Query(rate("agentmesh_commands_handled_total", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        series(
            "Commands by topic",
            "cps",
            "The same by topic. A topic that falls to nothing while its lag rises has no worker.",
            [Query(rate("agentmesh_commands_handled_total", "topic"), "{{topic}}")],
            stacked=True,
        ),
        series(
            "Time of an append",
            "s",
            "The transaction that records a batch. Rising with steady load: the disk or the pool of the database is the limit.",
            quantiles(APPEND, exemplar=True),
            steps=above(0.1, 0.5),
            runbook="event-append-slow",
        ),
        series(
            "Time of a batch, p95",
            "s",
            "From records to recorded outcome, by group. Above a few seconds the group risks its session with the broker.",
            [Query(quantile(0.95, "agentmesh_handle_duration_seconds", "group"), "{{group}}")],
        ),
        series(
            "Records in a batch, median",
            "none",
            "Large batches mean that the worker is busy: that is how it keeps up. At its limit for long it needs help.",
            [Query(quantile(0.5, "agentmesh_batch_records", "group"), "{{group}}")],
        ),
        series(
            "Repeats and conflicts",
            "cps",
            "Commands that came twice (absorbed), ids used twice with different content (a publisher's fault), and aggregates "
            "decided anew. Conflicts at a steady rate: two writers work on the same aggregates.",
            [
                Query(rate("agentmesh_duplicates_absorbed_total", "payload"), "duplicate, payload {{payload}}"),
                Query(rate("agentmesh_event_append_conflicts_total"), "conflict"),
            ],
            runbook="append-conflicts",
        ),
    ]


def _events() -> Panels:
    return [
        series(
            "Relayed by context",
            "cps",
            "Log entries that Kafka acknowledged. It should follow what is appended; a context at nothing has no leader or nothing to say.",
            [Query(rate("agentmesh_events_relayed_total", "context"), "{{context}}")],
            stacked=True,
        ),
        series(
            "Time of a page of the relay, p95",
            "s",
            "From reading a page of the log to its acknowledgement. Seconds mean that the broker is slow.",
            [Query(quantile(0.95, "agentmesh_relay_page_seconds", "context"), "{{context}}")],
        ),
        series(
            "Not yet relayed",
            "none",
            "Log positions that Kafka does not have yet, by context, as the leading relay sees it. A line that only climbs: Kafka is slow.",
            [Query("max by (context) (agentmesh_outbox_pending)", "{{context}}")],
            whole=True,
            runbook="relay-lag-growing",
        ),
        series(
            "Projected by read model",
            "cps",
            "Events folded into each read model. One at nothing while events are relayed stands still.",
            [Query(rate("agentmesh_projected_events_total", "projection"), "{{projection}}")],
        ),
        series(
            "Read models behind",
            "none",
            "Events that each read model is behind, as its workers see it, each on its partitions. A worker that is dead does not say: "
            "see lag below.",
            [Query("sum by (projection) (agentmesh_projection_lag_events)", "{{projection}}")],
            whole=True,
        ),
        rows(
            "Logs and relays",
            "Each context's log head, how far its relay got, and when it last moved. `behind` must not only grow.",
            POSITIONS,
            {"moved": "s"},
            span=8,
        ),
    ]


def _lag() -> Panels:
    names = "{{name}}"
    return [
        series(
            "Consumer groups",
            "s",
            "Age of the oldest record that a group has not committed, told by the monitor: a dead worker is seen too. A line that climbs "
            "second by second belongs to a worker that stands still.",
            [Query('max by (name) (agentmesh_lag_seconds{kind="consumer_group"})', names)],
            steps=above(30, 120),
            runbook="consumer-lag-growing",
        ),
        series(
            "Relays and process managers",
            "s",
            "Age of the oldest event that is not yet published, or not yet answered by its process manager. A line that climbs second by "
            "second: requests stand still.",
            [Query('max by (kind, name) (agentmesh_lag_seconds{kind=~"relay|process_manager"})', "{{kind}} · {{name}}")],
            steps=above(30, 120),
            runbook="process-manager-lag-growing",
        ),
        series(
            "Read models",
            "s",
            "How old what each read model shows may be. People see this lag; the gateway's min_position waits for it.",
            [Query('max by (name) (agentmesh_lag_seconds{kind="projection"})', names)],
            steps=above(30, 120),
            runbook="projection-lag-growing",
        ),
        series(
            "Messages behind",
            "none",
            "The same in messages. Many messages and few seconds is a burst; few messages and many seconds is a worker that stands still.",
            [Query("topk(10, max by (kind, name) (agentmesh_lag_messages))", "{{kind}} · {{name}}")],
            whole=True,
        ),
        series(
            "Unread records by topic",
            "none",
            "What consumers themselves see ahead of them on their partitions, summed by topic. One that only grows needs more processes.",
            [Query("sum by (group, topic) (agentmesh_consumer_lag_messages)", "{{topic}} · {{group}}")],
            whole=True,
        ),
        series(
            "Rebalances",
            "cpm",
            "Rebalances a minute by group. A steady rate means a worker that does not answer the broker in time.",
            [Query(f"60 * {rate('agentmesh_rebalances_total', 'group')}", "{{group}}")],
        ),
    ]


def _letters() -> Panels:
    return [
        series(
            "Records parked",
            "cpm",
            "Records parked a minute by topic. A burst after a release is a defect in it; one alone is usually one bad message.",
            [Query(f"60 * {rate('agentmesh_dead_letters_total', 'topic')}", "{{topic}}")],
            runbook="dead-letters-arrive",
            span=6,
        ),
        series(
            "Parked now",
            "none",
            "Keys and records that wait. Records above keys are those that wait behind a first one, in order.",
            [
                Query(parked_keys(), "keys"),
                Query("sum(max by (context) (agentmesh_parked_records))", "records"),
                Query("max by (context) (agentmesh_parked_records) > 0", "records of {{context}}"),
            ],
            whole=True,
            runbook="keys-parked",
            span=6,
        ),
        series(
            "Requeued",
            "cpm",
            "Dead letters taken up again a minute. Those that come back as parked met the same defect.",
            [Query(f"60 * {rate('agentmesh_dlq_requeued_total', 'topic')}", "{{topic}}")],
            span=6,
        ),
        series(
            "Orders of rebuilds",
            "none",
            "Read models whose last order of a rebuild waits, runs or failed. One that waits for long has no worker of projections; one "
            "that failed left the read model as it was.",
            [Query("max by (state) (agentmesh_rebuild_orders)", "{{state}}")],
            whole=True,
            runbook="rebuild-failed",
            span=6,
        ),
        rows(
            "Dead letters by cause",
            "`defect`: our code failed on it. `undecodable`: nobody can read it. `behind`: it waits for one before it. `parked` "
            "ones wait for a person.",
            BY_CAUSE,
            span=16,
            runbook="dead-letters-arrive",
        ),
        rows(
            "Read models",
            "Definition, when it was built, and events that it could not apply: with any, it is incomplete.",
            READ_MODELS,
            span=8,
            runbook="projection-lag-growing",
        ),
    ]


BOARD = Board(
    "agentmesh-event-flow",
    "AgentMesh / Event flow",
    "From command to read model: where something waits, and what was parked.",
    panels,
    (),
    uses_sql=True,
)
