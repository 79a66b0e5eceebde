-- Orders to rebuild a read model: written by the gateway and the CLI, taken by the process that keeps the projections.
CREATE TABLE mesh.rebuild_orders (
    order_id text PRIMARY KEY,
    projection text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    -- Of whom it is. A read model is all tenants', so this limits nothing; it says who asked.
    tenant_id text,
    ordered_by text NOT NULL,
    -- What callers' Idempotency-Keys came to: whoever asks again under one of them gets this order, whatever became of it.
    keys text[] NOT NULL DEFAULT '{}',
    ordered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    -- How often it was begun, and by whom last: what a worker writes counts only while the order is its own.
    attempts int NOT NULL DEFAULT 0,
    taken_by text,
    -- Positions of the logs: folded, of those to fold; with the events that were among them.
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    events bigint NOT NULL DEFAULT 0,
    failure text,
    message text,
    CHECK ((state = 'failed') = (failure IS NOT NULL)),
    CHECK ((state IN ('done', 'failed')) = (finished_at IS NOT NULL))
);
-- One that waits or runs for each read model: a second order joins it.
CREATE UNIQUE INDEX rebuild_orders_open ON mesh.rebuild_orders (projection) WHERE state IN ('waiting', 'running');
CREATE INDEX rebuild_orders_by_time ON mesh.rebuild_orders (projection, ordered_at DESC);
CREATE INDEX rebuild_orders_by_key ON mesh.rebuild_orders USING gin (keys);
-- Operators see how far orders are; who asked, and what a failure names, stays with whoever has the database.
GRANT SELECT (order_id, projection, state, ordered_at, started_at, finished_at, attempts, done, total, events, failure)
    ON mesh.rebuild_orders TO agentmesh_observer;
