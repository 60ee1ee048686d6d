"""Finished runs.

load_run         a run as a model; build_on_earlier: adapters of earlier runs beside a new one
model_card       the card that describes a run, with the code that loads it
"""
