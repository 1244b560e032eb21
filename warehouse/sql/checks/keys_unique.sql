-- Keys are unique: vehicles, homes, hours of a series, sessions, steps, forecasts, policies, exposures.
SELECT 'core_vehicle' AS table_name, vehicle_id AS key, count(*) AS times FROM core_vehicle GROUP BY ALL HAVING count(*) > 1
UNION ALL SELECT 'core_home', home_id, count(*) FROM core_home GROUP BY ALL HAVING count(*) > 1
UNION ALL SELECT 'core_home_hour', concat_ws(' ', load_series_id, time_utc), count(*) FROM core_home_hour GROUP BY ALL HAVING count(*) > 1
UNION ALL SELECT 'core_price_hour', concat_ws(' ', price_series_id, time_utc), count(*) FROM core_price_hour GROUP BY ALL HAVING count(*) > 1
UNION ALL
SELECT 'core_air_hour', concat_ws(' ', air_series_id, time_utc), n
FROM (SELECT air_series_id, time_utc, count(*) AS n FROM core_air_hour GROUP BY ALL HAVING count(*) > 1)
UNION ALL SELECT 'core_session', session_id, count(*) FROM core_session GROUP BY ALL HAVING count(*) > 1
UNION ALL
SELECT 'core_duty_step', concat_ws(' ', vehicle_id, step_utc), n
FROM (SELECT vehicle_id, step_utc, count(*) AS n FROM core_duty_step GROUP BY ALL HAVING count(*) > 1)
UNION ALL
SELECT 'core_exposure_day', concat_ws(' ', vehicle_id, day, law_id, policy_id), n
FROM (SELECT vehicle_id, day, law_id, policy_id, count(*) AS n FROM core_exposure_day GROUP BY ALL HAVING count(*) > 1)
UNION ALL
SELECT 'core_exposure_life', concat_ws(' ', vehicle_id, law_id, policy_id), n
FROM (SELECT vehicle_id, law_id, policy_id, count(*) AS n FROM core_exposure_life GROUP BY ALL HAVING count(*) > 1)
UNION ALL SELECT 'out_vehicle_state', vehicle_id, count(*) FROM out_vehicle_state GROUP BY ALL HAVING count(*) > 1
UNION ALL SELECT 'out_policy', concat_ws(' ', vehicle_id, policy_id), count(*) FROM out_policy GROUP BY ALL HAVING count(*) > 1
UNION ALL SELECT 'out_forecast', concat_ws(' ', vehicle_id, policy_id, year), count(*) FROM out_forecast GROUP BY ALL HAVING count(*) > 1
UNION ALL
SELECT 'out_warranty', concat_ws(' ', vehicle_id, contract_id, policy_id, test_schedule), count(*)
FROM out_warranty GROUP BY ALL HAVING count(*) > 1
ORDER BY table_name, key
