-- Every record of a file taken in is loaded, rejected or a duplicate; rows_read is counted on its own.
SELECT path, format, rows_read, rows_loaded, rows_rejected, rows_duplicate
FROM meta_file
WHERE status = 'loaded' AND rows_read <> rows_loaded + rows_rejected + rows_duplicate
ORDER BY path
