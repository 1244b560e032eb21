-- No vehicle id is anything but a keyed hash, and no refused text, file name or error holds a VIN or e-mail address.
WITH said AS (
  SELECT 'raw_reject' AS table_name, raw_text AS text FROM raw_reject
  UNION ALL SELECT 'meta_file.error', error FROM meta_file
  UNION ALL SELECT 'meta_file.path', path FROM meta_file
), words AS (
  SELECT table_name, text, unnest(regexp_extract_all(text, '[A-Za-z0-9]+')) AS word FROM said
)
SELECT 'core_vehicle' AS table_name, vehicle_id AS text FROM core_vehicle WHERE NOT regexp_full_match(vehicle_id, 'v[0-9a-f]{12}')
UNION ALL
SELECT DISTINCT 'meta_part_vehicle', vehicle_id FROM meta_part_vehicle WHERE NOT regexp_full_match(vehicle_id, 'v[0-9a-f]{12}')
UNION ALL
SELECT DISTINCT table_name, text FROM words
WHERE regexp_full_match(word, '[A-HJ-NPR-Za-hj-npr-z0-9]{17}') AND regexp_matches(word, '[0-9]')
UNION ALL
SELECT DISTINCT table_name, text FROM said
WHERE table_name <> 'raw_reject' AND regexp_matches(text, '[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}')
ORDER BY table_name, text
