-- A refused file says why, and nothing of it was loaded.
SELECT path, format, error, rows_loaded
FROM meta_file
WHERE status = 'refused' AND (error IS NULL OR error = '' OR rows_loaded <> 0)
ORDER BY path
