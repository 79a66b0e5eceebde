-- Positions and streams of a page of the log, without the events.
SELECT notification_id, originator_id FROM {schema}.stored_events
WHERE notification_id > %(after)s ORDER BY notification_id LIMIT %(limit)s
