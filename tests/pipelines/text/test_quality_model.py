"""A classifier trained on texts tells others of their kind, and its score is a column that a rule judges."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.corpus.build import build_corpus
from pipelines.documents.stage import documents_key, process_units
from pipelines.settings import CorpusSettings, DocumentSettings, QualityModelSettings, WarcSource
from pipelines.sources.work_units import documents_file, list_work_units
from pipelines.text.quality_model import QualityModel, train_quality_model
from storage.errors import InputError
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, Page, html, prose

GOOD = [prose(ENGLISH, seed) for seed in range(150)]
RANDOM = [prose(ENGLISH + " buy cheap offer click shipping", seed, count=100) + " click here" for seed in range(150)]
SETTINGS = QualityModelSettings(learning_rate=0.5, epochs=20, dimensions=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("quality") / "model.bin"
    return path, train_quality_model(GOOD, RANDOM, SETTINGS, path)


def test_it_tells_texts_that_it_has_not_seen(model: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, card = model
    assert card["held_out_accuracy"] > 0.9
    assert card == json.loads(path.with_suffix(".json").read_text())
    score = QualityModel(path)
    assert score(prose(ENGLISH, 999)) > 0.5 > score("Cheap shipping!\nClick here to buy, cheap offer. " * 9)
    assert score("</s> " + prose(ENGLISH, 999)) > 0.5, "fastText reads on behind its own mark of an end"
    # In any order, with repetitions: the same model.
    again = train_quality_model([*GOOD[::-1], GOOD[0]], RANDOM[::-1], SETTINGS, tmp_path / "again.bin")
    assert again == card


def test_its_score_is_judged(
    model: tuple[Path, dict[str, Any]],
    write_warc: Callable[..., Path],
    workspace: Workspace,
    document_settings: DocumentSettings,
) -> None:
    texts = [*(prose(ENGLISH, seed) for seed in range(500, 530)), RANDOM[3]]
    pages = [Page(html(text), f"https://host{number}.example/") for number, text in enumerate(texts)]
    units = list_work_units({"crawl": WarcSource(paths=[str(write_warc(pages))])}, workspace)
    corpus = {"language": "eng", "text_domain": "x", "sources": ["crawl"], "held_out_min_documents": 2}
    settings = CorpusSettings.model_validate({**corpus, "rules": {"quality_min": 0.5}})
    with pytest.raises(InputError, match=r"rules\.quality_min needs documents"):
        build_corpus("english", settings, units, document_settings, workspace)
    scored = document_settings.model_copy(update={"quality_model": str(model[0])})
    assert documents_key(scored) != documents_key(document_settings)
    [report] = process_units(units, scored, workspace, 1, lambda report: None)
    rows = pq.read_table(documents_file(workspace.documents(documents_key(scored)), report.unit_id)).to_pylist()
    assert [row["quality"] > 0.5 for row in rows] == [True] * 30 + [False]
    left = build_corpus("english", settings, units, scored, workspace).funnel
    assert {row["reason"]: row["documents"] for row in left} == {"quality_min": 1, "kept": 30}


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 good and 150 random texts: a quality model needs 100 of each"):
        train_quality_model(GOOD[:3], RANDOM, SETTINGS, tmp_path / "x.bin")
    with pytest.raises(InputError, match="name ends in"):
        train_quality_model(GOOD, RANDOM, SETTINGS, tmp_path / "x.model")
    (tmp_path / "x.bin").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a fastText model"):
        QualityModel(tmp_path / "x.bin")
