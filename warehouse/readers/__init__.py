"""Readers that turn a log file into canonical raw rows and rejects."""
