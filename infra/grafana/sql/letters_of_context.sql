-- The dead letters of one context, without the records themselves.
SELECT '{schema}' AS context, cause, error_type, type_name, topic, status, attempts, first_failed_at FROM {schema}.dead_letters
