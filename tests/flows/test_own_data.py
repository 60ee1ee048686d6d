"""The README's study of one's own data, configs/example.yaml, run at toy size on JSON lines and a given model."""

import json
import shutil

import pytest
import yaml

from nr_core.tokenization.tokenizer import train_tokenizer
from storage.query import query
from storage.workspace import Workspace
from tests.flows.conftest import REPOSITORY, nr
from tests.flows.docs.doc_blocks import blocks
from tests.flows.hungarian_tales import tale
from tests.nr_core.tiny import tiny_model, write_shard

EXAMPLE = REPOSITORY / "configs" / "example.yaml"
TOY = {
    "base.model": "./model",
    "training": "{steps: 2, batch_size: 2, sequence_length: 32}",
    "evaluation": "{sequence_length: 32, max_tokens: 500}",
}
ENGLISH = (
    "The old woman had a small garden behind her house and went there every morning to look after the flowers, {}. "
)


def test_the_readme_shows_the_study_that_is_shipped():
    [shown] = [block for block in blocks(REPOSITORY / "README.md") if block.language == "yaml"]
    assert yaml.safe_load(shown.code) == yaml.safe_load(EXAMPLE.read_text())


@pytest.mark.server
def test_ones_own_lines_and_model_become_an_adapter_and_figures(tmp_path, language_model, prefect_home):
    prefect_home(tmp_path / ".prefect")
    texts = {"texts": [tale(number, 150) for number in range(60)]}
    texts["english"] = [" ".join(ENGLISH.format(number * day) for day in range(1, 9)) for number in range(60)]
    for folder, documents in texts.items():
        (tmp_path / folder).mkdir()
        rows = (json.dumps({"text": text}) for text in documents)
        (tmp_path / folder / "rows.jsonl").write_text("\n".join(rows))
    shards = [[write_shard(tmp_path / f"{folder}.parquet", documents)] for folder, documents in texts.items()]
    train_tokenizer(shards, [0.5, 0.5], 300, tmp_path / "model")
    tiny_model("llama", vocab_size=300).save_pretrained(tmp_path / "model")
    shutil.copy(EXAMPLE, tmp_path / "study.yaml")
    toy = [f"--set={name}={value}" for name, value in {**TOY, "documents.language_model": str(language_model)}.items()]

    done = nr("run", "study.yaml", *toy, cwd=tmp_path)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    workspace = Workspace(tmp_path / "workspace")
    measured = query(workspace, "SELECT run_id, learning, forgetting_in_replay FROM learning_vs_forgetting")
    [[run, learning, forgetting]] = measured.rows
    assert learning is not None and forgetting is not None
    assert (workspace.run(run) / "adapter" / "adapter_config.json").is_file()
