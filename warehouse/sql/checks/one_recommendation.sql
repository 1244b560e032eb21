-- Every vehicle with policies has exactly one recommended setting.
SELECT vehicle_id, count(*) FILTER (recommended) AS recommended
FROM out_policy
GROUP BY vehicle_id
HAVING count(*) FILTER (recommended) <> 1
ORDER BY vehicle_id
