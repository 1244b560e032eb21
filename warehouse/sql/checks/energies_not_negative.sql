-- Energies, hours and kilometres of a policy are not negative; bridged outage hours do not exceed the outages.
SELECT vehicle_id, policy_id, export_kwh_per_year, charge_kwh_per_year, outage_hours, outage_hours_bridged
FROM out_policy
WHERE least(export_kwh_per_year, export_hours_per_year, charge_kwh_per_year, unserved_drive_kwh, outage_hours_bridged) < 0
  OR outage_hours_bridged > outage_hours + 1e-6
ORDER BY vehicle_id, policy_id
