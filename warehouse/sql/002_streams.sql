-- Rows in the parts of a file (a line may give several), records of vehicles that asked to be forgotten, whose record a
-- refused one was, and the marks by which a forgotten vehicle is kept out.
CREATE TABLE meta_file_2 AS
SELECT f.*, CAST(coalesce(sum(p.rows), 0) AS BIGINT) AS rows_parts, CAST(0 AS BIGINT) AS rows_forgotten
FROM meta_file f LEFT JOIN meta_part p ON p.sha256 = f.sha256 AND p.kind = f.kind AND starts_with(p.part_id, f.format || '-')
GROUP BY ALL;
DROP TABLE meta_file;
ALTER TABLE meta_file_2 RENAME TO meta_file;
ALTER TABLE raw_reject ADD COLUMN vehicle_id VARCHAR;
CREATE TABLE meta_forgotten (tombstone VARCHAR, state VARCHAR);
