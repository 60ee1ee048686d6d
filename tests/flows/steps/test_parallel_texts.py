"""Two texts that say the same in two languages are held against each other, row by row."""

import json

import numpy as np
import pytest

from flows.config.runs import EvaluationPlan, EvaluationText
from flows.steps.tokens import pin_texts
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace


def text(path, rows, **fields):
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return EvaluationText(path=str(path), text_domain="news", **fields)


@pytest.fixture
def texts(tmp_path):
    return {
        "eng": text(tmp_path / "en.jsonl", ["It rains.", "The cat sleeps.", "Nobody knows."], language="eng"),
        "fra": text(
            tmp_path / "fr.jsonl", ["Il pleut.", "Le chat dort.", "Nul ne sait."], language="fra", parallel_to="eng"
        ),
    }


def test_bits_for_the_same_sentences_are_compared(tmp_path, texts):
    workspace = Workspace(tmp_path / "workspace")
    pinned = {text.name: text for text in pin_texts(texts, workspace)}
    bits = {"eng": np.array([10.0, 20.0, 14.0]), "fra": np.array([22.0, 45.0, 20.0])}
    sizes = {name: np.array([float(len(row)) for row in pinned[name].documents]) for name in bits}
    for name, own in bits.items():
        key = {"model_id": "base", "step": 0, "eval_id": pinned[name].eval_id, "settings_hash": "s"}
        row = {**key, "metric": "bits_per_byte", "numerators": own.tolist(), "denominators": sizes[name].tolist()}
        write_records(workspace, "evaluation_items", name, [row])
    refresh_catalog(workspace)
    (row,) = query(workspace, "FROM equal_content").as_dicts()
    assert (row["name"], row["eval_set"], row["parallel_set"], row["n"]) == ("base", "fra", "eng", 3)
    assert (row["bits"], row["ratio"]) == (pytest.approx(29.0), pytest.approx(87 / 44))
    assert row["bits_per_parallel_byte"] == pytest.approx(87 / sizes["eng"].sum())
    assert row["parallel_bits_per_byte"] == pytest.approx(44 / sizes["eng"].sum())
    influence = (bits["fra"] - bits["eng"] * 87 / 44) / 44
    assert row["stderr"] == pytest.approx(np.sqrt(3 / 2 * (influence**2).sum()))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["Il pleut.", "Le chat dort."], "fra has 2 rows and eng 3; give files whose rows say the same"),
        (["Il pleut.", " ", "Nul ne sait."], "fra has 3 rows and only 2 with text, so that rows do not pair"),
    ],
)
def test_rows_that_do_not_pair_are_refused(tmp_path, texts, rows, sentence):
    texts["fra"] = text(tmp_path / "fr.jsonl", rows, language="fra", parallel_to="eng")
    with pytest.raises(InputError, match=f"`evaluation.texts.fra.parallel_to`: {sentence}"):
        pin_texts(texts, Workspace(tmp_path / "workspace"))


@pytest.mark.parametrize(
    ("other", "fields", "sentence"),
    [
        ("deu", {}, "deu is no other of `texts`"),
        ("fra", {}, "fra is no other of `texts`"),
        ("eng", {"max_tokens": 500}, "500 tokens are not the same rows in two languages"),
    ],
)
def test_a_plan_that_cannot_be_compared_is_refused(texts, other, fields, sentence):
    texts["fra"] = texts["fra"].model_copy(update={"parallel_to": other})
    with pytest.raises(ValueError, match=sentence):
        EvaluationPlan(texts={name: one.model_dump() for name, one in texts.items()}, **fields)


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "cp1250"])
def test_a_plain_text_is_the_same_in_each_charset(tmp_path, charset):
    said = "Szép őszi nap volt, és a kikötőben álló hajók vitorlái lassan megteltek.\r\nKésőbb újra esett az eső.\r\n"
    files = {"utf-8": tmp_path / "one.txt", charset: tmp_path / "other.txt"}
    for encoding, file in files.items():
        file.write_bytes(said.encode(encoding))
    named = {"text": EvaluationText(path=str(files["utf-8"]), language="hun", text_domain="novel")}
    (one,) = pin_texts(named, Workspace(tmp_path / "workspace"))
    (other,) = pin_texts(
        {"text": named["text"].model_copy(update={"path": str(files[charset])})}, Workspace(tmp_path / "w")
    )
    assert one.documents == other.documents == [said.replace("\r\n", "\n")] and one.eval_id == other.eval_id
