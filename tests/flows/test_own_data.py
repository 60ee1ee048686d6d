"""The README's study of one's own data, configs/example.yaml. Who follows it runs what tests/test_wheel.py runs."""

import json

import yaml

from tests.flows.conftest import REPOSITORY
from tests.flows.docs.doc_blocks import blocks

EXAMPLE = REPOSITORY / "configs" / "example.yaml"
# What a first run of minutes takes less of, and where it lies.
OF_A_FIRST_RUN = {"name", "workspace", "training", "evaluation", "resources"}


def test_the_readme_shows_the_study_that_is_shipped():
    [shown] = [block for block in blocks(REPOSITORY / "README.md") if block.language == "yaml"]
    assert yaml.safe_load(shown.code) == yaml.safe_load(EXAMPLE.read_text())


def test_it_is_the_one_that_nr_init_writes_for_such_folders(tmp_path, nr_here):
    for folder in ("texts", "english"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rows.jsonl").write_text(json.dumps({"text": "Some text."}))
    made = nr_here("init", "--data", "texts", "--original", "english", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    written = yaml.safe_load((tmp_path / "study.yaml").read_text())
    for corpus in written["corpora"].values():
        assert corpus.pop("min_characters") == 200
    assert {key: value for key, value in written.items() if key not in OF_A_FIRST_RUN} == yaml.safe_load(
        EXAMPLE.read_text()
    )
