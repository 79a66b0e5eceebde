-- How long one context's log is.
SELECT '{schema}' AS context, position FROM {schema}.log_head
