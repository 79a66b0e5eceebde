-- The scheduler asks for what is due; what is closed is never asked for again.
CREATE INDEX ON {schema}.deadlines (due_at) WHERE status = 'open';
