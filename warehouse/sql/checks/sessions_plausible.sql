-- Sessions have a known kind, end after they start, energies that are not negative and a SOC within 0 and 1.
-- an inferred drive longer than a minute averages at most 150 km/h and 150 kW.
SELECT vehicle_id, session_id, kind, start_utc, end_utc
FROM core_session
WHERE kind IS NULL OR kind NOT IN ('drive', 'charge', 'export', 'rest', 'plugin') OR start_utc IS NULL OR end_utc < start_utc
  OR least(energy_in_battery_kwh, energy_out_battery_kwh, energy_in_meter_kwh, energy_out_meter_kwh, distance_km) < 0
  OR NOT coalesce(soc_start_frac, 0) BETWEEN -1e-9 AND 1 + 1e-9 OR NOT coalesce(soc_end_frac, 0) BETWEEN -1e-9 AND 1 + 1e-9
  OR (kind = 'drive' AND list_contains(flags, 'drive_inferred') AND end_utc > start_utc + INTERVAL 1 MINUTE
    AND greatest(CASE WHEN NOT isnan(distance_km) THEN distance_km END, CASE WHEN NOT isnan(energy_out_battery_kwh) THEN energy_out_battery_kwh END)
      * 3600e6 / epoch_us(end_utc - start_utc) > 150)
ORDER BY vehicle_id, start_utc
