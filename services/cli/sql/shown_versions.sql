-- The versions that the read model shows of many requests.
SELECT request_id, version FROM read_requests.requests WHERE request_id = ANY (%(ids)s::text[])
