-- The outcome of a batch; answers the aggregates (1-based) that were left out and why.
SELECT agg, reason FROM {schema}.append(
    %(ids)s, %(versions)s, %(modes)s, %(heads)s,
    %(command_aggs)s, %(command_ids)s, %(command_outcomes)s, %(command_codes)s, %(command_versions)s,
    %(command_positions)s, %(command_hashes)s,
    %(event_aggs)s, %(event_versions)s, %(event_types)s, %(event_states)s,
    %(rejection_aggs)s, %(rejection_commands)s, %(rejection_states)s,
    %(parked_aggs)s, %(parked)s::jsonb)
