"""A model folder of somebody else may hold anything: one sentence, and nothing of it is executed."""

import json
import logging
import shutil

import pytest
from tokenizers import Tokenizer

from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.files import foreign_files
from nr_core.runs.load_run import load_finished
from nr_core.settings import BaseSpec

MODEL_FILES = {
    "model.safetensors": [b"", b"{}", (2**62).to_bytes(8, "little") + b"{}"],
    "config.json": [b"{", b"[]", b"[" * 100_000, b"\xff"],
    "tokenizer.json": [b"{", b"[" * 100_000, b"[]"],
}


@pytest.mark.parametrize(("name", "content"), [(name, part) for name, parts in MODEL_FILES.items() for part in parts])
def test_a_damaged_file_is_one_sentence(world, tmp_path, name, content):
    folder = shutil.copytree(world.base, tmp_path / "model")
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError):
        load_finished(folder)


@pytest.mark.parametrize(
    "change",
    [{"hidden_size": "x"}, {"num_hidden_layers": -1}, {"vocab_size": -5}, {"num_attention_heads": 0},
     {"model_type": "../x"}, {"rope_parameters": 3}],
)  # fmt: skip
def test_a_config_that_says_nonsense_is_one_sentence(world, tmp_path, change):
    folder = shutil.copytree(world.base, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=r"No causal language model could be loaded|lacks"):
        load_finished(folder)


@pytest.mark.parametrize(
    "change",
    [{"width": "x"}, {"width": -1}, {"layers": "abc"}, {"sites": [1]}, {"format_version": "9"}, {"gate": ["relu"]},
     {"peft_type": "__class__"}, {"peft_type": 5}, {"base_model_name_or_path": ["x"]}],
)  # fmt: skip
def test_an_adapter_that_says_nonsense_is_one_sentence(world, run, tmp_path, change):
    run(world.train_spec(tmp_path / "run", training={"steps": 1}))
    folder = shutil.copytree(tmp_path / "run" / "adapter", tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError):
        load_finished(folder)


def test_a_gguf_file_that_is_none_is_one_sentence(tmp_path):
    pytest.importorskip("gguf")
    for content in (b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 16):
        (tmp_path / "m.gguf").write_bytes(content)
        with pytest.raises(ModelError, match=r"m\.gguf"):
            load_base(BaseSpec(model=str(tmp_path / "m.gguf")))


def test_what_is_no_error_of_a_file_passes():
    with pytest.raises(KeyboardInterrupt), foreign_files(str):
        raise KeyboardInterrupt
    with pytest.raises(ModelError, match="as it is"), foreign_files(str):
        raise ModelError("as it is")
    with pytest.raises(ModelError), foreign_files(str):
        Tokenizer.from_str("{")


def test_attempts_of_the_hubs_client_are_not_told_but_its_last_error(caplog):
    attempts = logging.getLogger("huggingface_hub.utils._http")
    with pytest.raises(ModelError, match="no hub"), foreign_files(str):
        attempts.warning("Retrying in 1s")
        raise OSError("no hub")
    assert not caplog.records and attempts.level == logging.NOTSET
