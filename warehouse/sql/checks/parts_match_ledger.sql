-- A file's raw parts hold as many rows as its ledger says.
SELECT f.sha256, f.path, f.format, f.rows_loaded, f.rows_parts, coalesce(sum(p.rows), 0) AS part_rows
FROM meta_file f LEFT JOIN meta_part p ON p.sha256 = f.sha256 AND starts_with(p.part_id, f.format || '-')
WHERE f.status = 'loaded'
GROUP BY ALL
HAVING f.rows_parts IS DISTINCT FROM coalesce(sum(p.rows), 0)
ORDER BY f.path
