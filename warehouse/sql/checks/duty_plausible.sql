-- Ampere-hours and energies of a step are sums by direction: never negative; the cell's SOC stays near 0 to 1.
SELECT vehicle_id, step_utc
FROM core_duty_step
WHERE least(drive_in_ah, drive_out_ah, charge_in_ah, charge_out_ah, export_in_ah, export_out_ah, rest_in_ah, rest_out_ah) < 0
  OR least(drive_in_kwh, drive_out_kwh, charge_in_kwh, charge_out_kwh, export_in_kwh, export_out_kwh, rest_in_kwh, rest_out_kwh) < 0
  OR NOT cell_soc_start_frac BETWEEN -0.05 AND 1.05 OR NOT cell_soc_end_frac BETWEEN -0.05 AND 1.05
  OR filled NOT IN (0, 1, 2)
ORDER BY vehicle_id, step_utc
LIMIT 1000
