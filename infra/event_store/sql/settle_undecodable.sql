-- Parks a requeued record again that still nobody can read.
UPDATE {schema}.dead_letters SET status = 'parked', attempts = attempts + 1, error_message = %(message)s, marked_at = now()
WHERE position = %(position)s AND status = 'requeued'
