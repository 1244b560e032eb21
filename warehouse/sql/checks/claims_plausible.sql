-- Claims and costs are not negative, intervals in order, and there are no more claims than breaches.
SELECT cohort_id, contract_id, policy_id, quarter, breaches, claims, cost_money
FROM out_claims
WHERE least(breaches, claims, cost_money, breaches_low, claims_low, cost_low_money) < 0 OR claims > breaches + 1e-9
  OR breaches_low > breaches_high OR claims_low > claims_high OR cost_low_money > cost_high_money
ORDER BY cohort_id, contract_id, policy_id, quarter
