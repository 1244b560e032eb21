-- The paired difference of the baseline to itself is zero.
SELECT vehicle_id, policy_id, year, diff_p50_pp
FROM out_forecast
WHERE policy_id = 'no_export_smart' AND (abs(diff_p10_pp) > 1e-9 OR abs(diff_p50_pp) > 1e-9 OR abs(diff_p90_pp) > 1e-9)
ORDER BY vehicle_id, year
