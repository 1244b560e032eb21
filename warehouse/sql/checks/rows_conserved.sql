-- Every record read of a file is loaded, rejected or a duplicate; rows_read is counted on its own.
SELECT path, format, rows_read, rows_loaded, rows_rejected, rows_duplicate
FROM meta_file
WHERE rows_read <> rows_loaded + rows_rejected + rows_duplicate
ORDER BY path
