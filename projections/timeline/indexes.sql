-- What a rebuild makes after the rows are in: the key, and the one question that is asked.
ALTER TABLE {schema}.timeline ADD PRIMARY KEY (stream_id, context, version);
CREATE INDEX ON {schema}.timeline (request_id);
