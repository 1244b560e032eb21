-- What every policy is compared with exports nothing.
SELECT vehicle_id, policy_id, export_kwh_per_year
FROM out_policy
WHERE policy_id IN ('no_export_smart', 'no_export_immediate', 'as_driven_no_export') AND export_kwh_per_year > 1e-6
ORDER BY vehicle_id, policy_id
