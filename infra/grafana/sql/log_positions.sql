-- How long each log is and how far its relay got; {heads} stands for all logs.
SELECT h.context, h.position AS head, r.position AS relayed, h.position - r.position AS behind,
       extract(epoch FROM now() - r.moved_at) AS moved
FROM ({heads}) AS h
JOIN mesh.relay_positions AS r USING (context) ORDER BY behind DESC, context
