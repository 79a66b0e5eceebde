-- The outcome of a batch; answers the aggregates (1-based) that were left out and why.
SELECT agg, reason FROM {schema}.append(
    %(ids)b, %(versions)b::bigint[], %(modes)b::smallint[], %(heads)b::bigint[],
    %(command_aggs)b::int[], %(command_ids)b, %(command_outcomes)b, %(command_codes)b, %(command_versions)b::bigint[],
    %(command_positions)b::int[], %(command_hashes)b,
    %(event_aggs)b::int[], %(event_versions)b::bigint[], %(event_types)b, %(event_states)b,
    %(rejection_aggs)b::int[], %(rejection_commands)b, %(rejection_states)b,
    %(parked_aggs)b::int[], %(parked)s::jsonb)
