"""Steps of a night: plain functions that read, call models and write once."""
