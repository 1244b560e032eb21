-- Ledger, parts, rejects, runs. Plain tables without keys or sequences, so that DuckLake can serve them later.
CREATE TABLE meta_file (
  sha256 VARCHAR, path VARCHAR, format VARCHAR, kind VARCHAR, status VARCHAR, rows_read BIGINT, rows_loaded BIGINT,
  rows_rejected BIGINT, rows_duplicate BIGINT, error VARCHAR
);
CREATE TABLE meta_part (
  part_id VARCHAR, sha256 VARCHAR, kind VARCHAR, part_path VARCHAR, rows BIGINT, first_utc TIMESTAMP,
  last_utc TIMESTAMP, flags VARCHAR[]
);
CREATE TABLE meta_part_vehicle (
  part_id VARCHAR, kind VARCHAR, vehicle_id VARCHAR, rows BIGINT, first_utc TIMESTAMP, last_utc TIMESTAMP
);
CREATE TABLE raw_reject (
  sha256 VARCHAR, path VARCHAR, format VARCHAR, line BIGINT, reason VARCHAR, detail VARCHAR, raw_text VARCHAR
);
CREATE TABLE meta_run (
  run_id VARCHAR, started_utc TIMESTAMP, ended_utc TIMESTAMP, as_of_day DATE, status VARCHAR, step VARCHAR,
  note VARCHAR, published VARCHAR
);
CREATE TABLE meta_kpi (
  as_of_day DATE, kpi VARCHAR, value DOUBLE, low DOUBLE, high DOUBLE, unit VARCHAR, basis VARCHAR
);
CREATE TABLE meta_state (vehicle_id VARCHAR, subject VARCHAR, version VARCHAR);
