-- Capacity readings lie within 40 and 130 % with a positive error and a method that is known.
SELECT vehicle_id, time_utc, method, soh_frac, sigma_frac
FROM core_capacity_reading
WHERE soh_frac IS NULL OR NOT soh_frac BETWEEN 0.4 AND 1.3 OR sigma_frac IS NULL OR NOT sigma_frac > 0
  OR method NOT IN ('ocv_anchored', 'bms_soc', 'bms_soh') OR bms_reported <> (method <> 'ocv_anchored')
ORDER BY vehicle_id, time_utc
