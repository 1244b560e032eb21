"""Vocabulary and mathematics of Fadecast: pure functions, no I/O (``parameters`` apart), no clock."""
