-- Sessions have a known kind, end after they start, energies that are not negative and a SOC within 0 and 1.
SELECT vehicle_id, session_id, kind, start_utc, end_utc
FROM core_session
WHERE kind IS NULL OR kind NOT IN ('drive', 'charge', 'export', 'rest', 'plugin') OR start_utc IS NULL OR end_utc < start_utc
  OR least(energy_in_battery_kwh, energy_out_battery_kwh, energy_in_meter_kwh, energy_out_meter_kwh, distance_km) < 0
  OR NOT coalesce(soc_start_frac, 0) BETWEEN -1e-9 AND 1 + 1e-9 OR NOT coalesce(soc_end_frac, 0) BETWEEN -1e-9 AND 1 + 1e-9
ORDER BY vehicle_id, start_utc
