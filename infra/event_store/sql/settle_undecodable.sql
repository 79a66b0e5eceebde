-- Ends a requeued undecodable record: applied now, or parked again.
UPDATE {schema}.dead_letters SET status = %(status)s, attempts = attempts + 1, error_message = %(message)s, marked_at = now()
WHERE position = %(position)s AND status = 'requeued'
