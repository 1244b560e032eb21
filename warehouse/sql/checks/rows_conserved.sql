-- Every record read of a file is loaded, rejected, a duplicate or of a forgotten vehicle; rows_read is counted on its own.
SELECT path, format, rows_read, rows_loaded, rows_rejected, rows_duplicate, rows_forgotten
FROM meta_file
WHERE rows_read <> rows_loaded + rows_rejected + rows_duplicate + coalesce(rows_forgotten, 0)
ORDER BY path
