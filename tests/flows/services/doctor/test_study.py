"""`nr doctor` explains in seconds what a flow would refuse of a study, and says what the last one did refuse."""

import gzip
import json
import shutil
from functools import partial
from pathlib import Path

import psutil
import pytest
import yaml
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from flows.config.study import load_config
from flows.extend_language import check
from flows.services.doctor.examine import examine
from flows.steps.last_failure import last_failures, remembering_failure
from nr_core.errors import ModelError
from pipelines.text import identify
from storage.errors import InputError
from storage.workspace import Workspace
from tests.flows.hungarian_tales import tale
from tests.nr_core.tiny import tiny_model


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model("llama").save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "<unk>": 2}, [], unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path, model, language_model, monkeypatch):
    """A folder with a study of 40 Hungarian tales and a tiny base, of which nothing is wrong."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(identify, "FETCHED_MODEL", language_model)
    shutil.copytree(model, tmp_path / "model")
    write_rows(tmp_path / "hu.jsonl", [{"text": tale(number)} for number in range(40)])
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return tmp_path


STUDY = {
    "name": "tales",
    "language": "hun",
    "workspace": "results",
    "sources": {"tales": {"kind": "text", "paths": ["*.jsonl*"]}},
    "corpora": {"new": {"language": "hun", "text_domain": "tales", "sources": ["tales"], "min_characters": 200}},
    "base": {"model": "./model"},
    "inputs": [{"corpus": "new", "role": "new", "share": 1.0}],
    "methods": [{"method": "neutral_residues"}],
    "training": {"steps": 1, "sequence_length": 32},
    "evaluation": {"sequence_length": 32},
}


def write_rows(file, rows):
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")


def found(folder, what):
    findings = examine(folder / ".prefect", 0, study=folder / "study.yaml")
    return next(finding for finding in findings if finding.what == what)


def test_of_a_study_with_nothing_wrong_all_is_looked_at(folder):
    assert found(folder, "study").fix == ""
    assert found(folder, "text of new").says == "40 of its 40 documents would stay"
    base = found(folder, "base")
    assert base.says.startswith("llama of ") and not base.fix
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("sources", {"tales": {"kind": "text", "paths": ["gone/*.jsonl"]}}, "nothing matches gone/"),
        ("base", {"model": "./gone"}, "`base.model`: there is no ./gone"),
        ("base", {"model": "table.csv"}, "`base.model`: table.csv is a file, and no GGUF file"),
        ("base", None, "`base` is missing"),
        ("language", "hu", "perhaps 'hun'"),
        ("langauge", "hun", "langauge"),
        ("sources", {"tales": {"kind": "text", "paths": ["table.csv"]}}, "table.csv is of no known kind"),
        ("resources", {"launcher": "no-such-program --nnodes=2"}, "there is no program no-such-program"),
        ("resources", {"launcher": "srun 'torchrun"}, "is no command (No closing quotation): close its quotes"),
        ("tracking", "no-such-tracker", "tracking"),
    ],
)
def test_what_nr_run_refuses_at_once_the_doctor_says_in_the_same_words(folder, nr_here, field, value, says):
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, field: value}))
    (folder / "table.csv").write_text("text\negy\n")
    finding = found(folder, "study")
    refused = nr_here("run", "study.yaml", cwd=folder)
    assert says in finding.says and finding.fix and refused.returncode == 2
    assert refused.stderr.strip().removeprefix("error: ") == finding.says.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("table.csv", "read_csv('table.csv').write_parquet('table.parquet')"),
        ("tables", "as a.tsv is not: write the table as Parquet"),
        ("empty", "holds no text of a kind that is read"),
    ],
)
def test_what_nr_init_refuses_as_data_the_doctor_says_in_the_same_words(folder, nr_here, file, says):
    (folder / "tables").mkdir()
    (folder / "empty").mkdir()
    for name in ("table.csv", "tables/a.tsv"):
        (folder / name).write_text("text\negy\n")
    refused = nr_here("init", "new", "--data", file, cwd=folder)
    told = {finding.what: finding for finding in examine(folder / ".prefect", 0, study=Path(file))}
    assert refused.returncode == 2 and told["study"].fix
    assert says in told["text"].says and told["text"].says == refused.stderr.strip().removeprefix("error: ")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (".", "is a folder where a config file should be; give study.yaml"),
        ("hu.jsonl", "`nr init --data hu.jsonl` writes a config that reads it"),
    ],
)
def test_a_folder_or_a_text_in_the_place_of_a_study_is_told_with_what_to_give(folder, nr_here, given, says):
    told = {finding.what: finding for finding in examine(folder / ".prefect", 0, study=Path(given))}
    refused = nr_here("run", given, cwd=folder)
    assert says in refused.stderr and refused.returncode == 2 and says in told["study"].says and told["study"].fix
    assert "`nr init --data" in told["text"].says and not told["text"].fix


def rows_of(change):
    return partial(write_rows, rows=[change(number) for number in range(40)])


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (rows_of(lambda number: {"body": tale(number), "id": number}), "no text in the field 'text'"),
        (rows_of(lambda number: {"text": 7}), "no text in the field 'text'"),
        (rows_of(lambda number: {"text": tale(number, 5)}), "leave with reason too_short"),
        (rows_of(lambda number: {"text": f"The garden is open, {number} days. " * 9}), "reason language"),
        (partial(write_rows, rows=[{"text": tale(number)} for number in range(15)]), "at least 20 are held out"),
        (partial(write_rows, rows=[]), "hold no document"),
        (lambda file: file.write_text("no JSON\n" * 9), "is a JSON object"),
        (lambda file: file.write_text('{\n "text": "x"\n}\n'), "one JSON object over many lines"),
    ],
)  # fmt: skip
def test_a_text_of_which_no_corpus_would_come_is_told_with_the_remedy(folder, write, says):
    write(folder / "hu.jsonl")
    finding = found(folder, "text of new")
    assert says in finding.says and finding.fix


def test_plain_texts_in_an_8_bit_charset_are_read_as_a_refresh_reads_them(folder):
    for number in range(40):
        (folder / f"{number}.txt").write_bytes(tale(number).encode("cp1250"))
    sources = {"tales": {"kind": "text", "paths": ["*.txt"]}}
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, "sources": sources}))
    assert found(folder, "text of new").says == "40 of its 40 documents would stay"


def test_a_text_cut_short_in_its_middle_is_told(folder):
    whole = gzip.compress((folder / "hu.jsonl").read_bytes())
    (folder / "hu.jsonl").unlink()
    (folder / "hu.jsonl.gz").write_bytes(whole[:40])
    assert "their file breaks there" in found(folder, "text of new").says


def test_only_the_first_documents_are_read_and_a_language_is_not_fetched(folder, monkeypatch):
    write_rows(folder / "hu.jsonl", [{"text": tale(number)} for number in range(400)])
    monkeypatch.setattr(identify, "FETCHED_MODEL", folder / "none")
    monkeypatch.setattr("flows.services.doctor.study.FETCHED_MODEL", folder / "none")
    says = found(folder, "text of new").says
    assert says.startswith("300 of its first 300 documents would stay (their language")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda model: (model / "model.safetensors").unlink(), "no such weights"),
        (lambda model: (model / "config.json").write_text("{}"), "No causal language model could be loaded"),
        (lambda model: cut(model / "model.safetensors"), "damaged or cut short"),
        (lambda model: (model / "tokenizer.json").write_text("{"), "okenizer"),
    ],
)
def test_a_base_that_would_not_load_is_told(folder, break_it, says):
    break_it(folder / "model")
    finding = found(folder, "base")
    assert says in finding.says and finding.fix


def test_a_base_that_sees_later_tokens_is_told_by_its_config_alone(folder):
    tiny_model("bert").save_pretrained(folder / "model")
    finding = found(folder, "base")
    assert "(bert) predicts each token from those behind it too" in finding.says and "decoder" in finding.says
    tiny_model("bert", is_decoder=True).save_pretrained(folder / "model")
    assert found(folder, "base").says.startswith("bert of ")


def cut(file):
    file.write_bytes(file.read_bytes()[:-1000])


def test_a_flow_refuses_a_base_cut_short_before_it_reads_anything(folder):
    cut(folder / "model" / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged or cut short"):
        check.fn(load_config("study.yaml"))


def test_a_flow_says_that_a_base_sees_later_tokens_and_not_what_its_tokenizer_lacks(folder):
    tiny_model("bert").save_pretrained(folder / "model")
    config = json.loads((folder / "model" / "tokenizer_config.json").read_text())
    (folder / "model" / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": None}))
    with pytest.raises(ModelError, match="from those behind it too"):
        check.fn(load_config("study.yaml"))


def test_a_flow_refuses_a_context_that_is_too_short_before_it_reads_anything_and_leaves_a_catalog(folder):
    with pytest.raises(ModelError, match="context of 64"):
        check.fn(load_config("study.yaml", {"evaluation": {"sequence_length": 4096}}))
    with pytest.raises(ModelError, match="a stride of 100 leaves tokens between windows of 64 unscored"):
        check.fn(load_config("study.yaml", {"evaluation": {"sequence_length": None, "stride": 100}}))
    assert found(folder, "files").fix == ""
    check.fn(load_config("study.yaml"))


def test_a_gguf_file_cut_short_is_told(folder):
    pytest.importorskip("gguf")
    from tests.nr_core.gguf_file import write_gguf

    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, "base": {"model": "./m.gguf"}}))
    cut(write_gguf(folder / "model", folder / "m.gguf"))
    assert "m.gguf is damaged or cut short" in found(folder, "base").says


def test_a_context_that_is_too_short_and_a_memory_that_is_too_small_are_told(folder, monkeypatch):
    free = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "0.0 GB are free" in (finding := found(folder, "base")).says and "smaller model" in finding.fix
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, "training": {"sequence_length": 4096}}))
    assert "context of 64" in found(folder, "base").says


def test_a_study_here_is_looked_at_unasked_with_the_workspace_that_it_names(folder, nr_here):
    Workspace(folder / "results")
    said = nr_here("doctor", "--port", "1", cwd=folder).stdout
    assert "ok    study: study.yaml can be begun" in said and "results is one" in said and "base: llama" in said
    (folder / "study.yaml").rename(folder / "other.yaml")
    assert "ok    study: no study.yaml here: `nr init" in nr_here("doctor", cwd=folder).stdout
    assert "study: other.yaml" in nr_here("doctor", "other.yaml", cwd=folder).stdout


@remembering_failure
def extend(config, error=None):
    if error:
        raise error
    return step(config)


@remembering_failure
def step(config, error=None):
    if error:
        raise error
    return "done"


def test_how_the_last_flow_failed_is_told_until_it_succeeds(folder):
    config = load_config("study.yaml")
    for flow, error in ((step, InputError("corpus new is empty: mend it")), (extend, KeyError("a bug"))):
        with pytest.raises(type(error)):
            flow(config=config, error=error)
        finding = found(folder, "last flow")
        assert f"{flow.__name__} of tales" in finding.says and str(error) in finding.says and finding.fix
    assert step(config) == "done"  # a step of the flow that failed
    assert "extend of tales" in found(folder, "last flow").says
    assert extend(config) == "done"
    assert found(folder, "last flow").fix == ""


def test_what_became_of_an_interrupt_is_no_failure(folder):
    """DuckDB makes such an error of one amid a query, by which Prefect would call the flow failed and not crashed."""
    config = load_config("study.yaml")
    on_its_way = InputError("the server has gone")
    on_its_way.__context__ = KeyboardInterrupt()
    for error in (RuntimeError("Query interrupted"), on_its_way):
        with pytest.raises(KeyboardInterrupt):
            step(config, error)
    assert list(last_failures(Workspace(folder / "results"))) == []


def test_a_failure_that_cannot_be_kept_hides_none(folder):
    (folder / "results").write_text("a file")
    with pytest.raises(InputError, match="mend it"):
        step(load_config("study.yaml"), InputError("mend it"))


def test_a_damaged_failure_is_told(folder):
    file = Workspace(folder / "results").failed_study("tales")
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert "is damaged (empty): delete it" in found(folder, "last flow").says
    with pytest.raises(InputError):
        list(last_failures(Workspace(folder / "results")))
