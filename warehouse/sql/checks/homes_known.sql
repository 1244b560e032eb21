-- Every vehicle has a home, and every row of the results a registered vehicle.
SELECT 'core_vehicle' AS table_name, v.vehicle_id FROM core_vehicle v LEFT JOIN core_home h USING (home_id) WHERE h.home_id IS NULL
UNION ALL
SELECT DISTINCT 'out_forecast', vehicle_id FROM out_forecast WHERE vehicle_id NOT IN (SELECT vehicle_id FROM core_vehicle)
UNION ALL
SELECT DISTINCT 'out_policy', vehicle_id FROM out_policy WHERE vehicle_id NOT IN (SELECT vehicle_id FROM core_vehicle)
ORDER BY table_name, vehicle_id
