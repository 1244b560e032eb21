-- Quantiles are in order and capacities between 0 and 130 %.
SELECT vehicle_id, policy_id, year, soh_p10, soh_p50, soh_p90
FROM out_forecast
WHERE NOT (soh_p10 <= soh_p25 AND soh_p25 <= soh_p50 AND soh_p50 <= soh_p75 AND soh_p75 <= soh_p90)
  OR NOT (diff_p10_pp <= diff_p50_pp AND diff_p50_pp <= diff_p90_pp) OR soh_p10 < 0 OR soh_p90 > 1.3
  OR soh_p50 IS NULL
UNION ALL
SELECT vehicle_id, 'state', NULL, soh_low_frac, soh_frac, soh_high_frac
FROM out_vehicle_state
WHERE NOT (soh_low_frac <= soh_frac AND soh_frac <= soh_high_frac)
ORDER BY vehicle_id, policy_id, year
