-- Each read model: the definition that its tables hold, and how many events are parked.
SELECT m.projection, m.version, m.built_at, (SELECT count(*) FROM mesh.parked_events p WHERE p.projection = m.projection)
FROM mesh.read_models m ORDER BY m.projection
