-- A SOC that was inferred never yields a capacity reading.
SELECT vehicle_id, time_utc, method, soh_frac FROM core_capacity_reading WHERE soc_inferred
UNION ALL
SELECT r.vehicle_id, r.time_utc, r.method, r.soh_frac
FROM core_capacity_reading r
JOIN (SELECT vehicle_id FROM core_session GROUP BY ALL HAVING count(*) = count(*) FILTER (soc_inferred)) s USING (vehicle_id)
ORDER BY vehicle_id, time_utc
