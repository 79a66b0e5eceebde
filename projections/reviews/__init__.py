"""On which tier each open request was decided last: read by the scheduler."""
