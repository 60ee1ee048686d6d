"""Measures what was learned and what was forgotten.

evaluate         the job; bits_per_byte: the figure; behaviour: how far a run's predictions are from the base's
tasks/           questions
"""
