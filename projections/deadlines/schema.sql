-- Read model `deadlines`: one row a stream and deadline, open until the stream says that it is over. Approvals have no attempts.
CREATE TABLE {schema}.deadlines (
    stream_id text NOT NULL,
    name text NOT NULL,
    tenant_id text NOT NULL,
    attempt int,
    status text NOT NULL,
    due_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (stream_id, name)
) WITH (fillfactor = 80);
