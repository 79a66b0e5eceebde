-- What a rebuild makes after the rows are in: the list of those who run the mesh.
CREATE INDEX ON {schema}.tenants (created_at DESC);
