-- The scheduler asks for what is due of each name; what is closed is never asked for again.
CREATE INDEX ON {schema}.deadlines (name, due_at) WHERE status = 'open';
