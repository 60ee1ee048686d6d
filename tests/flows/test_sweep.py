"""The points of a sweep; that they run is in test_study.py."""

import pytest

from flows.config import parse_config
from flows.sweep import expanded
from storage.errors import InputError
from tests.flows.test_config import SMALL

METHODS = [
    {"method": "neutral_residues"},
    {"method": "neutral_residues", "name": "bounded", "max_forgetting": 0.01},
    {"method": "lora", "learning_rate": 0.5},
]


def points(**sweep):
    config = expanded(parse_config({**SMALL, "methods": METHODS, "sweep": sweep}, "my.yaml"))
    return [(m.label, m.learning_rate, m.alpha) for m in config.methods], config.seeds


def test_methods_by_rates_by_alphas_by_seeds():
    methods, seeds = points(learning_rates=[0.001, 0.003], alphas=[0.1, 1.0], seeds=[3, 4])
    assert seeds == [3, 4]
    assert methods == [
        ("neutral_residues lr 0.001 alpha 0.1", 0.001, 0.1),
        ("neutral_residues lr 0.001 alpha 1", 0.001, 1.0),
        ("neutral_residues lr 0.003 alpha 0.1", 0.003, 0.1),
        ("neutral_residues lr 0.003 alpha 1", 0.003, 1.0),
        ("bounded lr 0.001", 0.001, None),
        ("bounded lr 0.003", 0.003, None),
        ("lora lr 0.001", 0.001, None),
        ("lora lr 0.003", 0.003, None),
    ]


def test_what_is_not_varied_stays():
    methods, seeds = points(alphas=[2.0])
    assert seeds == [0]
    assert methods == [("neutral_residues alpha 2", None, 2.0), ("bounded", None, None), ("lora lr 0.5", 0.5, None)]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({}, "it varies nothing; give learning_rates"),
        ({"seeds": [1, 1]}, "1 stands there 2 times"),
        ({"alpha": [1]}, "alphas"),
    ],
)
def test_wrong_sweeps_are_refused(sweep, message):
    with pytest.raises(InputError, match=message):
        parse_config({**SMALL, "sweep": sweep}, "my.yaml")
