"""Measures what was learned and what was forgotten: bits per byte, behaviour against the base, tasks."""
