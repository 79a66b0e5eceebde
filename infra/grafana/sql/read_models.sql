-- Which read models there are, and whether one could not apply an event.
SELECT m.projection, m.version, m.built_at, count(DISTINCT c.topic) AS topics, count(c.partition) AS partitions,
       (SELECT count(*) FROM mesh.parked_events p WHERE p.projection = m.projection) AS parked
FROM mesh.read_models m LEFT JOIN mesh.checkpoints c USING (projection)
GROUP BY m.projection, m.version, m.built_at ORDER BY parked DESC, m.projection
