"""Ids of existing results stay as they are: the same config finds again what an earlier version of the code made.

A test here that fails says that everybody's corpora, bases or runs would be made anew. Where that is meant, as by a
raised stage version, write the new ids down.
"""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from flows.config.study import Config, load_config, parse_config
from flows.evaluate import text_settings_hash
from flows.steps.base import PreparedBase, pretrained_id, tokenizer_key
from flows.steps.tokens import tokens_hash
from flows.train import planned_runs
from nr_core.settings import BaseSpec
from nr_core.specs import TrainSpec
from pipelines.corpus.lineage import Inputs, find_lineage
from pipelines.documents.stage import documents_key
from pipelines.sources.work_units import WorkUnit
from storage.workspace import Workspace

REPOSITORY = Path(__file__).parents[3]
IDS = {
    "tests/flows/tiny.yaml": {
        "documents": "a39768a9729505e1",
        "french": "5f899f18ef0dec23",
        "how-to": "99852c005b898a4c",
        "novel": "add6d821dfd79cc1",
        "tokenizer": "90f55499dea1c903",
        "base": "6508e079ba332271",
        "adapter seed 0": "cf5a25b2a0e91c55",
        "finetune seed 0": "517819dbec92659e",
        "lora seed 0": "172b1f40dd12c15c",
        "neutral_residues seed 0": "83946c5f1319d5f6",
        "evaluation": "927e14dab7ed7d2f",
    },
    "configs/demo.yaml": {
        "documents": "a39768a9729505e1",
        "french": "828ebcdd4d676e23",
        "how-to": "a5637093d0d08cd0",
        "novel": "3cde7d490f6aafc9",
        "tokenizer": "1cf1d8287cb94176",
        "base": "e64c8ac9b1bd397c",
        "adapter seed 0": "bdd50314a7dc17fa",
        "finetune seed 0": "de0cb3ee9f9c3625",
        "lora seed 0": "34bbca76b206f02b",
        "neutral_residues seed 0": "75e1a7607a1d677d",
        "evaluation": "5f797586aaad8ff2",
    },
}


def read(path: str, **changes) -> Config:
    return load_config(REPOSITORY / path, changes)


def ids(config: Config, workspace: Workspace) -> dict[str, str]:
    """The ids of a study whose only unit has the id `unit`, as a flow would find them; nothing is run."""
    key = documents_key(config.documents)
    unit = WorkUnit("u" * 16, "sample", "warc", "a.warc.gz", 1, {})
    inputs = Inputs([unit], key, [], {})
    versions = {name: find_lineage(name, config.corpora[name], inputs, workspace).version for name in config.corpora}
    base = PreparedBase(model_id=pretrained_id(config.base, versions), spec=BaseSpec(model="base"))
    return {
        "documents": key,
        **versions,
        "tokenizer": tokenizer_key(config.base, versions),
        "base": base.model_id,
        **{run.label: run.run_id for run in planned_runs(config, versions, base)},
        "evaluation": text_settings_hash(config.evaluation),
    }


@pytest.mark.parametrize("path", IDS)
def test_a_study_keeps_its_ids(path, tmp_path):
    assert ids(read(path), Workspace(tmp_path)) == IDS[path]


def test_what_bears_on_nothing_gives_no_other_id(tmp_path):
    path = "tests/flows/tiny.yaml"
    written = read(path).model_dump(mode="json", exclude_unset=True)
    pace = {"micro_batch_size": 2, "log_every": 3, "checkpoint_every": 7, "fsdp_from": 0, "recompute_layers": True}
    for section in (written["training"], written["base"]["pretrain"]):
        section.update(pace)
    written["evaluation"] |= {"batch_size": 3, "task_items": 5}
    written["resources"] = {"training_processes": 2, "threads": 2, "workers": 1}
    for method in written["methods"]:
        method["name"] = method["method"]
    changed = ids(parse_config(written, "changed.yaml"), Workspace(tmp_path))
    assert changed == IDS[path]


@pytest.mark.parametrize("training", [{"batch_size": 8}, {"precision": "fp32"}, {"document_mask": True}, {"clip": 2}])
def test_what_bears_on_a_run_gives_it_another_id(training, tmp_path):
    path = "tests/flows/tiny.yaml"
    changed = ids(read(path, training=training), Workspace(tmp_path))
    assert {name for name in changed if changed[name] != IDS[path][name]} == {
        name for name in changed if "seed" in name
    }


def test_token_streams_keep_their_names(tmp_path):
    words = {"[UNK]": 0, "</s>": 1, "garden": 2, "jardin": 3}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="[UNK]").save_pretrained(tmp_path)
    assert tokens_hash(BaseSpec(model=str(tmp_path))) == "46bc7f013fb257f1"


def test_a_job_goes_on_in_the_folder_that_an_earlier_version_began():
    inputs = [{"role": "new", "language": "fra", "tokens": "/t", "share": 1.0}]
    spec = {"base": {"model": "/m"}, "method": {"method": "lora", "name": "a"}, "inputs": inputs, "out": "/out"}
    training = {"micro_batch_size": 2, "log_every": 1, "checkpoint_every": 7, "fsdp_from": 0, "recompute_layers": True}
    identity = TrainSpec.model_validate({**spec, "training": training, "label": "a", "threads": 3}).identity()
    base = {"model": "/m", "revision": None, "gguf_file": None, "trust_remote_code": False}
    method = {"method": "lora", "learning_rate": None, "budget": None, "budget_of": "non_embedding", "alpha": None}
    assert (identity["base"], identity["method"], identity["inputs"]) == (base, method, inputs)
    assert identity["training"] == {
        "steps": 2000,
        "batch_size": 64,
        "micro_batch_size": None,
        "sequence_length": None,
        "warmup_share": 0.01,
        "final_learning_rate_share": 0.1,
        "clip": 1.0,
        "betas": [0.9, 0.95],
        "weight_decay": 0.1,
        "log_every": 10,
        "dead_gate_share": 0.01,
    }
    assert identity.keys() == {"base", "method", "training", "inputs", "seed"}
