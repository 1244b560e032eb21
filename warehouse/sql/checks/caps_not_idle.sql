-- In the demo every cap changes some vehicle-days: a cap that never binds shows nothing.
SELECT policy_id, max(cap_changed_days_frac) AS changed
FROM out_policy
WHERE getvariable('demo') AND cap IS NOT NULL AND cap <> ''
GROUP BY policy_id
HAVING coalesce(max(cap_changed_days_frac), 0) = 0
ORDER BY policy_id
