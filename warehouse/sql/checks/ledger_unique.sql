-- A file stands in the ledger once a format, and a part once.
SELECT 'file ' || sha256 || ' ' || format AS what, count(*) AS times FROM meta_file GROUP BY ALL HAVING count(*) > 1
UNION ALL
SELECT 'part ' || part_id, count(*) FROM meta_part GROUP BY ALL HAVING count(*) > 1
ORDER BY what
