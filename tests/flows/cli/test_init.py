"""`nr init` writes a study of one's own text and model, and deployments; `nr config` says what a config may hold."""

import gzip
import json
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.init import study_text
from flows.config.inputs import check_inputs
from flows.config.study import load_config
from flows.services.deployments import read
from storage.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs"


def nr(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def source(folder):
    return load_config(folder / "study.yaml").sources["new-text"]


def test_a_folder_of_rows_becomes_a_study_with_its_own_field(folder):
    (folder / "texts" / "deep").mkdir(parents=True)
    rows = [json.dumps({"title": "Mese", "törzs": "Egyszer volt, hol nem volt."})] * 3
    (folder / "texts" / "deep" / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (folder / "texts" / "notes.md").write_text("not read")
    done = nr("init", "--language", "hun", "--model", "some/model", "--data", "texts")
    assert done.exit_code == 0 and "nr run study.yaml" in done.stdout
    assert (source(folder).paths, source(folder).text_field) == (["texts/**/*.jsonl.gz"], "törzs")
    config = load_config(folder / "study.yaml")
    assert (config.language, config.base.model) == ("hun", "some/model")
    assert [(item.role, item.corpus) for item in config.inputs] == [("new", "new-language"), ("original", None)]
    assert [entry["name"] for entry in read(folder / "prefect.yaml")["deployments"]] == ["study", "monthly"]


@pytest.mark.parametrize(("file", "kind"), [("a.warc.gz", "warc"), ("a.txt", "text"), ("A.PARQUET", "text")])
def test_files_of_other_kinds_are_known_by_their_ending(folder, file, kind):
    pq.write_table(pa.table({"text": ["x"], "body": ["longer"]}), folder / file)
    assert nr("init", "there", "--data", file).exit_code == 0
    found = source(folder / "there")
    assert (found.kind, found.paths) == (kind, [str(folder / file)])
    assert kind == "warc" or found.text_field == "text"


def test_a_first_row_that_python_has_no_values_for_is_left_to_the_refresh(folder):
    dates = pa.array([10**9], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"when": dates, "text": ["x"]}), folder / "a.parquet")
    assert nr("init", "there", "--data", "a.parquet").exit_code == 0
    assert source(folder / "there").text_field == "text"


def test_text_of_the_original_language_becomes_replay_and_measure(folder):
    (folder / "hu.txt").write_text("Szöveg")
    (folder / "en.txt").write_text("Text")
    assert nr("init", "--data", "hu.txt", "--original", "en.txt").exit_code == 0
    assert [item.corpus for item in load_config(folder / "study.yaml").inputs] == ["new-language", "original-language"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--data", "nowhere"), "there is no nowhere"),
        (("--data", "empty"), "holds no text of a kind"),
        (("--data", "https://host.example/text.pdf"), "of no known kind"),
        (("--data", "hu.txt", "--language", "hu"), "--language: language 'hu' is not one"),
        (("--data", "hu.txt", "--language", "Hungarian"), "give its ISO 639-3 code, perhaps 'hun' (Hungarian)"),
        (("--data", ""), "--data is empty"),
        (("--data", "nothing.jsonl"), "nothing.jsonl is empty"),
        (("--data", "numbers.jsonl"), "the first row of numbers.jsonl has no text, only id, score"),
        (("--data", "hu.txt", "--original", "gone.txt"), "--original: there is no gone.txt"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_written(folder, options, says):
    (folder / "hu.txt").write_text("Szöveg")
    (folder / "empty").mkdir()
    (folder / "nothing.jsonl").touch()
    (folder / "numbers.jsonl").write_text('{"id": 1, "score": 0.5}\n' * 9)
    done = nr("init", "there", *options)
    assert done.exit_code and says in str(done.exception) and not (folder / "there").exists()


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("", "`base.model` is ''"),
        ("gone.gguf", "gone.gguf; give a model's folder, a GGUF file or a hub id"),
        ("a/b/c/gone.gguf", "there is no a/b/c/gone.gguf"),
        ("./gone", "there is no ./gone"),
        ("a/b/c", "there is no a/b/c"),
        ("a model", "there is no a model"),
        ("text.gguf", "text.gguf is no GGUF file"),
        ("pointer.gguf", "is a pointer of Git LFS"),
        ("cloned", "model.safetensors is a pointer of Git LFS"),
        ("hu.txt", "hu.txt is a file, and no GGUF file"),
        ("cloned/config.json", "or a hub id, as cloned may be"),
        ("texts", "texts has no config.json"),
        ("packed", "give its file packed/model.gguf"),
        ("https://huggingface.co/HuggingFaceTB/SmolLM2-135M/tree/main", "the hub id in it, HuggingFaceTB/SmolLM2-135M"),
        ("https://host.example/m.gguf", "is an address; give a model's folder"),
    ],
)
def test_what_can_be_no_model_is_one_sentence_of_init_and_of_every_command_on_a_study(folder, model, says):
    (folder / "hu.txt").write_text("Szöveg")
    for name in ("texts", "packed", "cloned"):
        (folder / name).mkdir()
    for name in ("pointer.gguf", "cloned/model.safetensors"):
        (folder / name).write_text(POINTER)
    (folder / "text.gguf").write_text("no model")
    (folder / "packed" / "model.gguf").write_bytes(b"GGUF")
    (folder / "cloned" / "config.json").write_text("{}")
    done = nr("init", "there", "--data", "hu.txt", "--model", model)
    assert done.exit_code and says in str(done.exception) and not (folder / "there").exists()
    if model:
        study = study_text(folder, "hun", "some/model", "hu.txt", None).replace("some/model", model)
        (folder / "study.yaml").write_text(study)
        with pytest.raises(InputError, match=r"^`base\.model`") as refused:
            check_inputs(load_config("study.yaml"), "base")
        assert says in str(refused.value)


@pytest.mark.parametrize("model", ["gpt2", "nobody/model-1.5", "nobody/model/model.Q4.gguf"])
def test_an_id_of_the_hub_is_taken(folder, model):
    (folder / "hu.txt").write_text("Szöveg")
    assert nr("init", "--data", "hu.txt", "--model", model).exit_code == 0
    check_inputs(load_config(folder / "study.yaml"), "base")


def test_what_is_there_stays(folder):
    (folder / "hu.txt").write_text("Szöveg")
    (folder / "study.yaml").write_text("mine")
    assert "is there already" in str(nr("init", "--data", "hu.txt").exception)
    assert (folder / "study.yaml").read_text() == "mine" and not (folder / "prefect.yaml").exists()


@pytest.mark.parametrize(
    ("of", "folder", "wrong"),
    [
        ("study", CONFIGS, {"extends": "configs/demo.yaml", "langauge": "fra"}),
        ("task", CONFIGS / "tasks", {"name": "mine", "knid": "last_word"}),
        ("task", CONFIGS / "tasks", {"kind": "last_word", "variants": [{"nmae": "mine"}]}),
    ],
)
def test_a_schema_is_that_of_the_code_and_takes_every_file(of, folder, wrong):
    printed = nr("config", "schema", of).stdout
    assert (folder / "schema.json").read_text() == printed, f"nr config schema {of} > {folder}/schema.json"
    validator = jsonschema.Draft202012Validator(json.loads(printed))
    for path in folder.glob("*.yaml"):
        validator.validate(yaml.safe_load(path.read_text()))
    assert not validator.is_valid(wrong)


def test_every_file_names_its_schema_in_its_first_line():
    for path in CONFIGS.rglob("*.yaml"):
        first = path.read_text().partition("\n")[0]
        named = (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve()
        assert named == (CONFIGS / "tasks" if path.parent.name == "tasks" else CONFIGS) / "schema.json", path


def test_the_whole_config_is_shown_and_is_one_itself(folder):
    shown = nr("config", "show", CONFIGS / "demo.yaml", "--set", "training.steps=7").stdout
    (folder / "whole.yaml").write_text(shown)
    assert load_config(folder / "whole.yaml") == load_config(CONFIGS / "demo.yaml", {"training": {"steps": 7}})
