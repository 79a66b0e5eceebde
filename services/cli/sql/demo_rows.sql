-- Version and status of many requests in the read model.
SELECT request_id, version, status FROM read_requests.requests WHERE request_id = ANY (%(ids)s::text[])
