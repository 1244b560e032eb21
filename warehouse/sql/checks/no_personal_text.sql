-- No vehicle id is anything but a keyed hash, and no refused text holds a VIN.
SELECT 'core_vehicle' AS table_name, vehicle_id AS text FROM core_vehicle WHERE NOT regexp_full_match(vehicle_id, 'v[0-9a-f]{12}')
UNION ALL
SELECT DISTINCT 'meta_part_vehicle', vehicle_id FROM meta_part_vehicle WHERE NOT regexp_full_match(vehicle_id, 'v[0-9a-f]{12}')
UNION ALL
SELECT 'raw_reject', raw_text FROM raw_reject
WHERE regexp_matches(raw_text, '(^|[^A-Za-z0-9])([A-HJ-NPR-Z]+[0-9][A-HJ-NPR-Z0-9]*|[0-9][A-HJ-NPR-Z0-9]*[A-HJ-NPR-Z][A-HJ-NPR-Z0-9]*)([^A-Za-z0-9]|$)')
  AND regexp_matches(raw_text, '(^|[^A-Za-z0-9])[A-HJ-NPR-Z0-9]{17}([^A-Za-z0-9]|$)')
ORDER BY table_name, text
