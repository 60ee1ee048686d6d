"""`nr plan`: which steps stand and why, and what the others take by the past ones."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli.plan import plan_refresh, plan_steps, reading_rates
from flows.config.runs import OwnText, PretrainedHere
from flows.config.study import parse_config
from flows.steps.base import pretrained_id
from flows.steps.own_text import own_text_key
from flows.steps.result_records import recorded_settings
from nr_core.settings import BaseSpec, MethodSettings
from pipelines.denylist import deny
from pipelines.documents.stage import documents_key
from pipelines.sources.work_units import WorkUnit
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.files import write_atomically
from storage.publish import publishing, write_manifest
from storage.records import write_records
from storage.workspace import Workspace

UNITS = [WorkUnit(f"unit-{number}", "s", "warc", f"{number}.warc.gz", 10, {}) for number in range(2)]


@pytest.fixture
def config(tmp_path):
    corpora = {
        name: {"language": language, "text_domain": "web", "sources": ["s"]}
        for name, language in (("french", "fra"), ("english", "eng"))
    }
    inputs = [
        {"corpus": "french", "role": "new", "share": 0.9},
        {"corpus": "english", "role": "original", "share": 0.1},
    ]
    sources = {"s": {"kind": "warc", "paths": ["x"]}}
    values = {"language": "fra", "sources": sources, "corpora": corpora, "inputs": inputs}
    training = {"steps": 10, "batch_size": 6, "sequence_length": 100}
    return parse_config({**values, "training": training, "workspace": str(tmp_path)}, "test")


def publish(config, name, units):
    workspace = Workspace(config.workspace)
    with publishing(workspace.corpus_version(name, f"{name}-1")) as folder:
        write_manifest(
            folder,
            step="corpus",
            key=f"{name}-1",
            inputs={"documents_key": documents_key(config.documents), "parent_version": None, "stage_version": 1},
            settings=config.corpora[name].model_dump(mode="json"),
            counts={"name": name, "unit_ids": [unit.unit_id for unit in units]},
        )
    write_atomically(workspace.corpus(name) / "CURRENT", f"{name}-1")


def outcomes(config):
    return [row[1:] for row in plan_steps(config, UNITS, Workspace(config.workspace)).rows]


def test_nothing_was_made_yet(config):
    why = "corpus french gets a new version"
    assert outcomes(config) == [("new", "it has no version yet", None)] * 2 + [("new", why, None)]


def test_what_stands_and_what_does_not_say_why(config):
    publish(config, "french", UNITS)
    publish(config, "english", UNITS[:1])
    assert outcomes(config)[:2] == [
        ("stands", "version french-1 has all its units, by the same settings", None),
        ("new", "1 of its 2 units are not in version english-1", None),
    ]
    other = config.model_copy(update={"documents": config.documents.model_copy(update={"max_bytes": 77777})})
    assert outcomes(other)[0] == ("new", "version french-1 was made with other settings of `documents`", None)
    words = Path(config.workspace) / "words.txt"
    words.write_text("zut")
    french = config.corpora["french"].model_copy(update={"bad_words": str(words)})
    listed = config.model_copy(update={"corpora": {**config.corpora, "french": french}})
    assert outcomes(listed)[0] == ("new", "its list of bad words is not that of version french-1", None)


def test_a_version_with_pages_of_a_host_that_was_taken_down_does_not_stand(config):
    publish(config, "french", UNITS)
    publish(config, "english", UNITS)
    workspace = Workspace(config.workspace)
    hosts = pa.table({"host": ["fr.gone.example", "stays.example"]})
    pq.write_table(hosts, workspace.corpus_version("french", "french-1") / "train-00000.parquet")
    deny("other.example", "asked", workspace)
    assert [row[0] for row in outcomes(config)] == ["stands", "stands", "new"]
    deny("gone.example", "asked", workspace)
    assert outcomes(config)[:2] == [
        ("new", "version french-1 holds pages of gone.example, which was taken down", None),
        ("stands", "version english-1 has all its units, by the same settings", None),
    ]


def test_runs_stand_by_inputs_and_settings_and_past_ones_tell_the_time(config):
    publish(config, "french", UNITS)
    publish(config, "english", UNITS)
    workspace = Workspace(config.workspace)
    [method] = config.methods
    settings = recorded_settings(method, config.training)
    row = {"run_id": "r", "name": method.label, "method": method.method, "seed": 0, "status": "done"}
    write_records(workspace, "runs", "r", [{**row, "settings": settings, "tokens": 100, "seconds": 1.0}])
    inputs = [{"run_id": "r", "corpus_version": f"{name}-1", "role": "new"} for name in ("english", "french")]
    write_records(workspace, "run_inputs", "r", inputs)
    write_records(
        workspace,
        "work_units",
        "u",
        [{"unit_id": "u", "documents_key": "k", "kind": "warc", "status": "done", "bytes": 100, "seconds": 5.0}],
    )
    refresh_catalog(workspace)
    assert outcomes(config)[2] == ("stands", "run r has the same inputs and settings", None)
    assert reading_rates(workspace) == {"warc": 0.05}
    at_another_pace = config.training.model_copy(update={"micro_batch_size": 2, "log_every": 3})
    assert outcomes(config.model_copy(update={"training": at_another_pace}))[2][0] == "stands"
    longer = config.model_copy(update={"training": config.training.model_copy(update={"steps": 20})})
    assert outcomes(longer)[2] == ("new", "no run has these inputs and settings", 2.0)
    trimmed = config.model_copy(update={"base": BaseSpec(model="m", vocabulary="trimmed")})
    assert outcomes(trimmed)[2] == ("new", "no run has these inputs and settings", 1.0)
    with publishing(workspace.run("earlier")) as folder:
        write_manifest(folder, step="train", key="earlier", inputs={}, settings={}, counts={})
    going_on = config.model_copy(update={"start_from": "earlier"})
    assert outcomes(going_on)[2] == ("new", "no run has these inputs and settings", 1.0)
    write_atomically(workspace.run("r") / "spec.json", '{"add_to": null, "start_from": "runs/earlier"}')
    assert outcomes(going_on)[2][0] == "stands" and outcomes(config)[2][0] == "new"
    with pytest.raises(InputError, match="`add_to`: "):
        outcomes(config.model_copy(update={"add_to": "gone"}))


def test_text_of_the_base_is_a_step_with_its_count_of_tokens(config):
    base = BaseSpec(model="m")
    own = OwnText.model_validate({"from": "base", "share": 0.1, "tokens": 12_000, "language": "eng"})
    asked = config.model_copy(update={"base": base, "inputs": [config.inputs[0], own]})
    publish(config, "french", UNITS)
    why = "the base has not written it yet: 12,000 tokens, seed 0"
    assert outcomes(asked)[2:] == [("new", why, None), ("new", "the base writes its text first", None)]
    workspace = Workspace(config.workspace)
    key = own_text_key(own, "1", base)
    with publishing(workspace.tokens(key, "written")) as folder:
        settings = {"base": base.model_dump(mode="json"), "tokens": 12_000, "document_tokens": 1024, "seed": 0}
        write_manifest(folder, step="sample", key=key, inputs={}, settings=settings, counts={})
    stands = ("stands", f"{key} holds 12,000 tokens, seed 0, of the same base", None)
    trimmed = asked.model_copy(update={"base": BaseSpec(model="m", vocabulary="trimmed")})
    other = asked.model_copy(update={"base": BaseSpec(model="m", dtype="bfloat16")})
    assert [outcomes(one)[2] == stands for one in (asked, trimmed, other)] == [True, True, False]
    assert own_text_key(own, "2", base) != key != own_text_key(own, "1", BaseSpec(model="m", dtype="bfloat16"))


def test_a_base_that_is_trained_here_writes_too(config):
    own = OwnText.model_validate({"from": "base", "share": 0.1, "tokens": 600, "language": "eng"})
    here = PretrainedHere.model_validate({"pretrain": {}, "corpora": {"english": 1.0}})
    asked = config.model_copy(update={"base": here, "inputs": [config.inputs[0], own]})
    publish(config, "french", UNITS)
    assert outcomes(asked)[-2][:2] == ("new", "the base has not written it yet: 600 tokens, seed 0")
    publish(config, "english", UNITS)
    workspace = Workspace(config.workspace)
    base = BaseSpec(model=str(workspace.model(pretrained_id(here, {"english": "english-1"}))))
    with publishing(workspace.tokens(own_text_key(own, "1", base), "written")) as folder:
        settings = {"base": base.model_dump(mode="json"), "tokens": 600, "document_tokens": 1024, "seed": 0}
        write_manifest(folder, step="sample", key=own_text_key(own, "1", base), inputs={}, settings=settings, counts={})
    assert outcomes(asked)[-2][0] == "stands"


def test_points_between_base_and_finetuned_model_have_lines_of_their_own(config):
    publish(config, "french", UNITS)
    publish(config, "english", UNITS)
    workspace = Workspace(config.workspace)
    finetune = MethodSettings(method="finetune", name="full", interpolate=[0.3, 0.6])
    asked = config.model_copy(update={"methods": [finetune]})
    names = [row[0] for row in plan_steps(asked, UNITS, workspace).rows][2:]
    assert names == ["full seed 0", "full λ 0.3 seed 0", "full λ 0.6 seed 0"]
    assert outcomes(asked)[3] == ("new", "it is made of full, without training", 0.0)
    [point, _] = finetune.points()
    settings = recorded_settings(point, asked.training)
    row = {"run_id": "p", "name": point.label, "method": "interpolation", "seed": 0, "status": "done"}
    write_records(workspace, "runs", "p", [{**row, "settings": settings}])
    versions = [{"run_id": "p", "corpus_version": f"{name}-1", "role": "new"} for name in ("english", "french")]
    write_records(workspace, "run_inputs", "p", versions)
    refresh_catalog(workspace)
    assert [row[0] for row in outcomes(asked)[2:]] == ["new", "stands", "new"]


def test_a_distilled_run_stands_only_by_its_own_teacher(config):
    publish(config, "french", UNITS)
    publish(config, "english", UNITS)
    workspace = Workspace(config.workspace)
    full = MethodSettings(method="finetune", name="full")
    pupil = MethodSettings(method="neutral_residues", distil_from="full")
    asked = config.model_copy(update={"methods": [full, pupil]})
    assert outcomes(asked)[3][1].endswith("; it learns from full, and its tokens count both")
    for run_id, method, teacher in (("t", full, None), ("p", pupil, "t")):
        settings = recorded_settings(method, asked.training, teacher=teacher)
        row = {"run_id": run_id, "name": method.label, "method": method.method, "seed": 0, "status": "done"}
        write_records(workspace, "runs", run_id, [{**row, "settings": settings}])
        versions = [{"run_id": run_id, "corpus_version": f"{name}-1", "role": "new"} for name in ("english", "french")]
        write_records(workspace, "run_inputs", run_id, versions)
    refresh_catalog(workspace)
    assert [row[0] for row in outcomes(asked)[2:]] == ["stands", "stands"]
    faster = [full.model_copy(update={"learning_rate": 0.5}), pupil]
    assert [row[0] for row in outcomes(asked.model_copy(update={"methods": faster}))[2:]] == ["new", "new"]
    plain = [full, MethodSettings(method="neutral_residues")]
    assert [row[0] for row in outcomes(asked.model_copy(update={"methods": plain}))[2:]] == ["stands", "new"]


def test_what_a_base_wrote_before_tells_how_long_it_takes(config):
    base, own = BaseSpec(model="m"), OwnText.model_validate({"from": "base", "share": 0.1, "tokens": 12_000})
    asked = config.model_copy(update={"base": base, "inputs": [config.inputs[0], own]})
    workspace = Workspace(config.workspace)
    for seed, counts in ((1, {"train": {"tokens": 1000}, "seconds": 30.0}), (2, {"train": {"tokens": 9000}})):
        key = own_text_key(own.model_copy(update={"seed": seed}), "1", base)
        settings = {"base": base.model_dump(mode="json", exclude={"vocabulary"}), "seed": seed}
        with publishing(workspace.tokens(key, "written")) as folder:
            write_manifest(folder, step="sample", key=key, inputs={}, settings=settings, counts=counts)
    assert outcomes(asked)[2][::2] == ("new", 6.0)  # 12,000 tokens at .03 s


def test_without_a_catalog_there_is_no_estimate(tmp_path):
    assert reading_rates(Workspace(tmp_path)) == {}


def test_trainings_of_a_given_model_have_a_price_though_no_source_answers(config):
    shape = Path(__file__).parents[3] / "configs" / "paper" / "gemma-2b"
    methods = [MethodSettings(method="finetune"), MethodSettings(method="lora")]
    base, training = BaseSpec(model=str(shape)), config.training.model_copy(update={"steps": 100_000})
    asked = config.model_copy(update={"base": base, "methods": methods, "training": training})
    title, table = next(plan_refresh(asked, print))
    assert "H100" in title
    (full, few) = table.as_dicts()
    tokens = 100_000 * 6 * 100
    assert (full["run"], full["tokens"], few["run"]) == ("finetune", tokens, "lora")
    assert full["FLOPs a seed"] == pytest.approx(6 * 2.5e9 * tokens, rel=0.03)  # Gemma-2B has 2.5 G parameters
    assert 4 / 6 < few["FLOPs a seed"] / full["FLOPs a seed"] < 1
    assert full["GPU hours a seed"] == pytest.approx(full["FLOPs a seed"] / (0.4 * 989e12 * 3600), abs=0.1)
    ratio = full["minutes a seed here"] / few["minutes a seed here"]  # by one measurement of this machine
    assert (
        ratio == pytest.approx(full["FLOPs a seed"] / few["FLOPs a seed"], rel=0.01) and few["minutes a seed here"] > 1
    )


def test_a_model_that_is_not_at_hand_has_no_price_and_the_plan_goes_on(config, tmp_path):
    said = []
    asked = config.model_copy(update={"base": BaseSpec(model=str(tmp_path))})
    with pytest.raises(InputError):  # its source is not there either
        next(plan_refresh(asked, said.append))
    assert said and "no price" in said[0]


def test_a_length_that_a_run_would_refuse_is_said_before_anything_is_read(config):
    said = []
    shape = Path(__file__).parents[3] / "configs" / "paper" / "gemma-2b"
    training = config.training.model_copy(update={"sequence_length": 100_000})
    asked = config.model_copy(update={"base": BaseSpec(model=str(shape)), "training": training})
    with pytest.raises(InputError):  # its source is not there
        next(plan_refresh(asked, said.append))
    assert "sequence_length is 100000 tokens" in said[0] and "a context of 8192; lower it" in said[0]
