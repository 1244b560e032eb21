-- Probabilities and shares lie within 0 and 1.
SELECT vehicle_id, policy_id, breach_frac, true_breach_frac
FROM out_warranty
WHERE NOT breach_frac BETWEEN 0 AND 1 OR NOT true_breach_frac BETWEEN 0 AND 1 OR breach_low_frac > breach_high_frac
UNION ALL
SELECT vehicle_id, policy_id, cap_changed_days_frac, outside_frac
FROM out_policy
WHERE NOT coalesce(cap_changed_days_frac, 0) BETWEEN 0 AND 1 OR NOT coalesce(outside_frac, 0) BETWEEN 0 AND 1
ORDER BY vehicle_id, policy_id
