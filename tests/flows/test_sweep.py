"""The points of a sweep; that they run is in test_study.py."""

import pytest

from flows.config.study import parse_config
from flows.steps.base import PreparedBase
from flows.sweep import expanded
from flows.train import planned_runs
from nr_core.settings import BaseSpec
from storage.errors import InputError
from tests.flows.config.test_config import SMALL

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


def test_what_is_not_varied_stays_and_is_not_named():
    methods, seeds = points(alphas=[2.0])
    assert seeds == [0]
    assert methods == [("neutral_residues alpha 2", None, 2.0), ("bounded", None, None), ("lora", 0.5, None)]


def test_points_between_base_and_finetuned_model_leave_the_id_of_the_finetuning_alone():
    def runs(**more):
        method = {"method": "finetune", "learning_rate": 0.001, **more}
        config = parse_config({**SMALL, "methods": [method], "sweep": {"seeds": [3, 4]}}, "my.yaml")
        versions = {item.corpus: "1" for item in config.inputs}
        return planned_runs(expanded(config), versions, PreparedBase(model_id="base", spec=BaseSpec(model="base")))

    plain, wide = runs(), runs(interpolate=[0.3, 0.7])
    label = "finetune"
    assert [run.label for run in wide[:3]] == [f"{label}{point} seed 3" for point in ("", " λ 0.3", " λ 0.7")]
    assert [run.run_id for run in wide[::3]] == [run.run_id for run in plain]
    assert wide[0].method == plain[0].method and [run.made_of for run in wide[:3]] == [None, *[wide[0].run_id] * 2]
    assert len({run.run_id for run in wide}) == 6


PUPIL = {"method": "neutral_residues", "distil_from": "full"}


def test_a_distilled_run_has_the_teacher_of_its_seed_in_its_id():
    def runs(rate=0.001, taught=True):
        pupil = PUPIL if taught else {"method": "neutral_residues"}
        methods = [pupil, {"method": "finetune", "name": "full", "learning_rate": rate}]
        config = parse_config({**SMALL, "methods": methods, "seeds": [3, 4]}, "my.yaml")
        versions = {item.corpus: "1" for item in config.inputs}
        return planned_runs(config, versions, PreparedBase(model_id="base", spec=BaseSpec(model="base")))

    taught, other, plain = runs(), runs(rate=0.003), runs(taught=False)
    assert [run.needs for run in taught] == [taught[1].run_id, None, taught[3].run_id, None]
    assert [run.run_id for run in taught[1::2]] == [run.run_id for run in plain[1::2]]
    assert len({runs[0].run_id for runs in (taught, other, plain)}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": [PUPIL]}, "no finetune entry is called so; known: none, so add one"),
        ({"methods": [PUPIL, {"method": "lora", "name": "full"}]}, "no finetune entry is called so"),
        ({"methods": [PUPIL, {"method": "finetune"}]}, "known: finetune"),
        ({"methods": [PUPIL, {"method": "finetune", "name": "full"}], "start_from": "0123"}, "not at 0123"),
        (
            {
                "methods": [PUPIL, {"method": "finetune", "name": "full"}],
                "base": {"model": "m", "vocabulary": "trimmed"},
            },
            "base.vocabulary: distil_from learns",
        ),
    ],
)
def test_wrong_teachers_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        parse_config({**SMALL, **changes}, "my.yaml")


def test_in_a_sweep_a_teacher_is_a_point():
    methods = [{**PUPIL, "distil_from": "full lr 0.5"}, {"method": "finetune", "name": "full"}]
    varied = parse_config({**SMALL, "methods": methods, "sweep": {"learning_rates": [0.5, 0.1]}}, "my.yaml")
    assert [method.distil_from for method in expanded(varied).methods] == ["full lr 0.5"] * 2 + [None] * 2
    named = [PUPIL, {"method": "finetune", "name": "full", "learning_rate": 0.5}]
    seeds = parse_config({**SMALL, "methods": named, "sweep": {"seeds": [1]}}, "my.yaml")
    assert [method.distil_from for method in expanded(seeds).methods] == ["full", None]
    with pytest.raises(InputError, match="in a sweep the name of a point"):
        expanded(varied.model_copy(update={"sweep": varied.sweep.model_copy(update={"learning_rates": [0.1]})}))


def test_runs_on_a_trimmed_vocabulary_have_ids_of_their_own():
    bases = [
        PreparedBase(model_id="base", spec=BaseSpec(model="base", vocabulary=rows)) for rows in ("full", "trimmed")
    ]
    config = parse_config(SMALL, "my.yaml")
    versions = {item.corpus: "1" for item in config.inputs}
    ids = [{run.run_id for run in planned_runs(config, versions, base)} for base in bases]
    assert not ids[0] & ids[1]


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
