"""Tables on disk: intake of logs, the DuckDB warehouse, checks, publication."""
