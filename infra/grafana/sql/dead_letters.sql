-- Dead letters of all contexts by their cause; {letters} stands for all of them.
SELECT context, cause, error_type, coalesce(type_name, '-') AS type_name, status, count(*) AS records, max(attempts) AS attempts,
       min(first_failed_at) AS first, max(first_failed_at) AS last
FROM ({letters}) AS letters
GROUP BY context, cause, error_type, type_name, status ORDER BY status, records DESC LIMIT 50
