-- Every rejected record of a file is kept in raw_reject with its line and reason.
SELECT f.sha256, f.path, f.format, f.rows_rejected, count(r.line) AS kept
FROM meta_file f LEFT JOIN raw_reject r ON r.sha256 = f.sha256 AND r.format = f.format
GROUP BY ALL
HAVING f.rows_rejected <> count(r.line) OR count(*) FILTER (r.line IS NOT NULL AND r.reason IS NULL) > 0
ORDER BY f.path
