-- A file's raw part holds as many rows as the ledger says were loaded (one column a series: at least as many).
SELECT f.sha256, f.path, f.format, f.rows_loaded, coalesce(sum(p.rows), 0) AS part_rows
FROM meta_file f LEFT JOIN meta_part p ON p.sha256 = f.sha256 AND p.kind = f.kind AND starts_with(p.part_id, f.format || '-')
WHERE f.status = 'loaded'
GROUP BY ALL
HAVING (f.kind = 'air' AND coalesce(sum(p.rows), 0) < f.rows_loaded)
  OR (f.kind <> 'air' AND coalesce(sum(p.rows), 0) <> f.rows_loaded)
ORDER BY f.path
