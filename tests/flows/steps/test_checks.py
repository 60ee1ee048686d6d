"""The gates between data and training: they measure, record, and stop with a sentence."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.config.resources import refuse_full_disk
from flows.steps.checks import Checks, check_corpora
from storage.errors import InputError
from storage.publish import publishing, write_manifest
from storage.query import query
from storage.workspace import Workspace

FUNNEL = [("verdict", "language", 60), ("exact_dedup", "exact_copy", 10), ("minhash_dedup", "near_copy", 10)]


def publish(workspace, name, version, train, held_out):
    with publishing(workspace.corpus_version(name, version)) as folder:
        pq.write_table(pa.table({"text": train}), folder / "train-00000-0.parquet")
        pq.write_table(pa.table({"text": held_out}), folder / "held_out-00000-0.parquet")
        funnel = [{"stage": s, "reason": r, "documents": n} for s, r, n in [*FUNNEL, ("corpus", "kept", 20)]]
        counts = {"documents": 20, "funnel": funnel}
        write_manifest(folder, step="test", key=version, inputs={}, settings={}, counts=counts)


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    publish(workspace, "french", "v1", ["a", "b"], ["c", "d"])
    publish(workspace, "english", "v2", ["e", "d"], ["f"])  # d is held out in the other corpus
    return workspace


VERSIONS = {"french": "v1", "english": "v2"}


def test_values_are_recorded_whether_they_pass_or_not(workspace):
    with pytest.raises(InputError, match=r"corpus french: max_contamination is 0.5.*allows 0.01; set `decontaminate`"):
        check_corpora(Checks(), VERSIONS, workspace)
    rows = query(workspace, "SELECT name, value, bound, passed FROM checks WHERE version = 'v1' ORDER BY name").rows
    assert rows == [
        ("max_contamination", 0.5, 0.01, False),
        ("max_duplicate_rate", 0.5, 1.0, True),
        ("min_documents", 20.0, 1.0, True),
        ("min_language_share", 0.4, 0.0, True),
    ]
    check_corpora(Checks(max_contamination=0.5), VERSIONS, workspace)
    assert query(workspace, "SELECT count(*) FROM checks WHERE NOT passed").rows == [(0,)]


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ({"min_documents": 21}, "min_documents is 20, and `checks.min_documents` allows 21; give it more sources"),
        ({"min_language_share": 0.5}, "min_language_share is 0.4"),
        ({"max_duplicate_rate": 0.4}, "max_duplicate_rate is 0.5"),
    ],
)
def test_a_bad_corpus_is_refused_with_a_sentence(workspace, limit, sentence):
    with pytest.raises(InputError, match=sentence):
        check_corpora(Checks(max_contamination=1, **limit), VERSIONS, workspace)


def test_long_work_does_not_begin_on_a_full_disk(tmp_path):
    refuse_full_disk(tmp_path, 0, "reading")
    with pytest.raises(InputError, match=r"the disk is full: .* reading wants 1e\+09 GB"):
        refuse_full_disk(tmp_path, 1e9, "reading")
