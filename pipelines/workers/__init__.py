"""Processes that read work units: the pool, what kills its workers, and what they print."""
