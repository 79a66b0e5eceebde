-- Gives up one dead letter and records its rejection; false when it is not waiting.
SELECT {schema}.discard(%(position)s, %(who)s, %(why)s, %(state)s)
