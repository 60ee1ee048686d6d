"""JSONL and Parquet become documents as pages do."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastwarc.stream_io import ZstdWriter

from pipelines.corpus.build import build_corpus
from pipelines.corpus.shards import shard_files
from pipelines.denylist import deny
from pipelines.documents.stage import documents_key, process_unit, process_units
from pipelines.settings import CorpusSettings, DocumentSettings, OptOutSettings, TextSource
from pipelines.sources import compressed_files
from pipelines.sources.compressed_frames import Window
from pipelines.sources.retries import ReadFailure
from pipelines.sources.text_files import TextRecord, read_text
from pipelines.sources.text_rows import json_rows, plain_text
from pipelines.sources.work_units import UnitReport, list_work_units
from storage.errors import InputError
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, FRENCH, Page, prose


def process(
    path: Path, workspace: Workspace, settings: DocumentSettings, **fields: Any
) -> tuple[UnitReport, list[dict[str, Any]]]:
    [unit] = list_work_units({"novels": TextSource(paths=[str(path)], **fields)}, workspace)
    report = process_unit(unit, settings, workspace.root)
    file = workspace.root / f"{unit.unit_id}.parquet"
    return report, pq.read_table(file).to_pylist() if report.status == "done" else []


ROWS = [{"id": "a", "body": prose(ENGLISH, 1), "name": "A"}, {"id": "b", "body": prose(FRENCH, 2), "name": None}]


def zstd(content: bytes) -> bytes:
    """Two frames, as tools that compress in parallel write them."""
    buffer = io.BytesIO()
    for half in (content[:500], content[500:]):
        with ZstdWriter(buffer) as stream:
            stream.write(half)
            stream.finish()
    return buffer.getvalue()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstd,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("kind", [".jsonl", ".ndjson", ".json", "array.json"])
def test_each_kind_of_json(
    kind: str, packed: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / f"c4-hu.00000{kind}{packed}"
    content = json.dumps(ROWS, indent=1).encode() if "array" in kind else as_lines(ROWS)
    path.write_bytes(PACK[packed](content))
    report, documents = process(path, workspace, document_settings, text_field="body")
    assert (report.status, report.records, report.failures) == ("done", 2, [])
    assert [document["language"] for document in documents] == ["eng", "fra"]


@pytest.mark.parametrize("packed", PACK)
def test_a_file_of_plain_text_is_one_document(
    packed: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / f"novel.txt{packed}"
    path.write_bytes(PACK[packed](b"\xef\xbb\xbf" + prose(FRENCH, 1).encode()))
    _, [document] = process(path, workspace, document_settings)
    assert (document["text"], document["url"]) == (prose(FRENCH, 1), f"novel.txt{packed}:0")


@pytest.mark.parametrize("encoding", ["iso8859-1", "cp1252", "utf-16", "mac-roman"])
def test_plain_text_in_the_charsets_of_pages(
    encoding: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    text = "L'été dernier, nous avons traversé la forêt où ma grand-mère était née, près de l'étang gelé. " * 4
    (tmp_path / "novel.txt").write_bytes(text.encode(encoding))
    _, [document] = process(tmp_path / "novel.txt", workspace, document_settings)
    assert (document["text"], document["reason"]) == (text.strip(), "kept")


def test_plain_text_with_a_broken_byte_is_kept(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    (tmp_path / "novel.txt").write_bytes((prose(FRENCH, 1) + " né près").encode() + b"\xe9 de la mer")
    _, [document] = process(tmp_path / "novel.txt", workspace, document_settings)
    assert document["text"] == prose(FRENCH, 1) + " né près\ufffd de la mer"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json.gz", "array.json"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_json_as_windows_saves_it(
    name: str, encoding: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    rows = [{**ROWS[0], "body": f"{ROWS[0]['body']}\u2028é😀"}, ROWS[1]]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    content = ("\ufeff" + (f"[{', '.join(lines)}]" if "array" in name else "\r\n".join(lines))).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if ".gz" in name else content)
    report, documents = process(tmp_path / name, workspace, document_settings, text_field="body")
    assert (report.failures, [document["language"] for document in documents]) == ([], ["eng", "fra"])
    assert documents[0]["text"].endswith("é😀")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jl.gz", "rows.jsonlines"])
def test_lines_of_json_that_strict_parsers_refuse(
    name: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    first, second = (json.dumps(row).encode() for row in ROWS)
    lines = [
        first.replace(b'{"', b'{"n": ' + b"7" * 5000 + b', "', 1),  # a number that Python refuses
        first.replace(b" ", b"\t", 1) + second,  # a bare tab; two files put together
        first + b' {"body": ',  # the second is cut
    ]
    content = b"\n".join(lines)
    (tmp_path / name).write_bytes(gzip.compress(content) if ".gz" in name else content)
    _, documents = process(tmp_path / name, workspace, document_settings, text_field="body")
    assert [document["reason"] for document in documents] == ["kept"] * 4 + ["unreadable"]
    assert [document["language"] for document in documents[:4]] == ["eng", "eng", "fra", "eng"]


@pytest.mark.parametrize(("zeros", "damaged"), [(4, 0), (64, 0), (6, 1)])
def test_padding_between_streams_of_xz_is_no_damage(
    zeros: int, damaged: int, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    first, second = (lzma.compress(as_lines([row]) + b"\n") for row in ROWS)
    (tmp_path / "rows.jsonl.xz").write_bytes(first + bytes(zeros) + second)
    report, documents = process(tmp_path / "rows.jsonl.xz", workspace, document_settings, text_field="body")
    assert (len(report.failures), len(documents)) == (damaged, 2)


def test_two_columns_of_one_name_are_refused(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    texts = [prose(ENGLISH, 1)]
    pq.write_table(pa.table([texts, texts], names=["text", "text"]), tmp_path / "rows.parquet")
    report, _ = process(tmp_path / "rows.parquet", workspace, document_settings)
    assert report.status == "failed" and "several columns text" in str(report.error)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_row_knows_the_address_of_its_page(
    suffix: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    addresses = ["https://www.Example.org/a?b=c", "sub.example.org/x", "no address", None]
    rows = [{"text": prose(ENGLISH, n), "url": url, "meta": {"source": url}} for n, url in enumerate(addresses)]
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(as_lines(rows))
    for fields in ({}, {"url_field": "meta.source"}):
        _, documents = process(path, workspace, document_settings, **fields)
        assert [(document["host"], document["url"]) for document in documents] == [
            ("www.example.org", addresses[0]),
            ("sub.example.org", "http://sub.example.org/x"),
            ("novels", f"{path.name}:2"),
            ("novels", f"{path.name}:3"),
        ]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_the_field_of_the_address_is_found_in_any_letters_and_refused_where_it_is_nowhere(
    suffix: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    (tmp_path / "denied.txt").write_text("kert.example\n")
    settings = document_settings.model_copy(update={"opt_outs": OptOutSettings(hosts=(str(tmp_path / "denied.txt"),))})
    rows = [{"text": prose(ENGLISH, n), "URL": url} for n, url in enumerate(["https://kert.example/1", None])]
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(as_lines(rows))
    for fields in ({}, {"url_field": "URL"}):
        _, documents = process(path, workspace, settings, **fields)
        assert [document["reason"] for document in documents] == ["denied_host", "kept"]
    report, _ = process(path, workspace, settings, url_field="meta.url")
    assert report.status == "failed" and "meta.url" in str(report.error) and "URL" in str(report.error)


def test_a_row_with_an_address_is_held_to_opt_outs_and_lists_as_a_page_is(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings, write_warc: Callable[..., Path]
) -> None:
    robots = Page("User-agent: CCBot\nDisallow: /zárt", "https://kert.example/robots.txt")
    (tmp_path / "denied.txt").write_text("őszibarack.example\nkert.example/blog\n")
    (tmp_path / "blocked.txt").write_text("bolt.example\nhttps://kert.example/arak/\n")
    settings = document_settings.model_copy(
        update={
            "opt_outs": OptOutSettings(
                hosts=(str(tmp_path / "denied.txt"),), robots_txt=(str(write_warc([robots], "robots.warc.gz")),)
            ),
            "block_lists": (str(tmp_path / "blocked.txt"),),
        }
    )
    expected = {
        "https://www.xn--szibarack-zyb.example/1": "denied_host",
        "http://kert.example/blog/2": "denied_host",
        "https://kert.example/z%C3%A1rt/3": "robots_txt",
        "bolt.example/4": "blocked_host",
        "https://kert.example/arak/5": "blocked_url",
        "https://kert.example/6": "kept",
        "//ŐSZIBARACK.example:80/7": "denied_host",
        "volume 8": "kept",
    }
    path = tmp_path / "rows.jsonl"
    path.write_bytes(as_lines([{"text": prose(ENGLISH, n), "url": url} for n, url in enumerate(expected)]))
    _, documents = process(path, workspace, settings)
    assert [document["reason"] for document in documents] == list(expected.values())
    assert all(document["text"] is None for document in documents if document["reason"] != "kept")


def test_a_corpus_of_rows_is_split_and_taken_down_by_host(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    rows = [
        {"text": prose(ENGLISH, n), "url": f"https://{'öt' if n % 5 == 0 else n % 5}.example/{n}"} for n in range(30)
    ]
    (tmp_path / "rows.jsonl").write_bytes(as_lines(rows))
    units = list_work_units({"rows": TextSource(paths=[str(tmp_path / "rows.jsonl")])}, workspace)
    process_units(units, document_settings, workspace, 1, lambda report: None)
    settings = CorpusSettings(
        language="eng",
        text_domain="x",
        sources=["rows"],
        hosts=["öt.example", "[1-3].example"],
        held_out_min_documents=2,
    )

    def hosts() -> list[set[str]]:
        report = build_corpus("rows", settings, units, document_settings, workspace)
        folder = workspace.corpus_version("rows", report.version)
        tables = [pq.read_table(shard_files(folder, side), columns=["host"]) for side in ("train", "held_out")]
        return [set(table["host"].to_pylist()) for table in tables]

    train, held_out = hosts()
    assert train and held_out and not train & held_out
    assert train | held_out == {"xn--t-0ga.example", "1.example", "2.example", "3.example"}
    taken = sorted(train)[0]
    deny(taken.replace("xn--t-0ga", "ÖT"), "asked", workspace)
    assert hosts() == [train - {taken}, held_out]


def test_a_new_field_leaves_the_ids_of_units_as_they_were(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(as_lines(ROWS))
    [unit] = list_work_units({"novels": TextSource(paths=[str(path)])}, workspace)
    assert "url_field" not in unit.options


def test_parquet(tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings) -> None:
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    fields = {"text_field": "body", "id_field": "id", "title_field": "name"}
    report, documents = process(path, workspace, document_settings, **fields)
    assert (report.status, report.records, report.documents, report.failures) == ("done", 2, 2, [])
    assert [document["language"] for document in documents] == ["eng", "fra"]
    assert [(document["host"], document["url"], document["title"]) for document in documents] == [
        ("novels", "a", "A"),
        ("novels", "b", None),
    ]
    assert all(len(document["signature"]) == 4 * document_settings.num_perm for document in documents)


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([2**62, 2**62], pa.timestamp("us")),
        pa.array([7, 7], pa.timestamp("s", "Mars/Olympus_Mons")),
        pa.array([2_000_000_000] * 2, pa.int32()).cast(pa.date32()),
    ],
)
def test_an_id_that_python_has_no_value_for_is_none(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings, ids: pa.Array
) -> None:
    path = tmp_path / "dated.parquet"
    pq.write_table(pa.table({"text": [prose(ENGLISH, 1), prose(ENGLISH, 2)], "when": ids}), path)
    _, documents = process(path, workspace, document_settings, id_field="when", title_field="when")
    assert [document["reason"] for document in documents] == ["kept", "kept"]
    assert len({document["doc_id"] for document in documents}) == 2


def test_a_column_whose_name_is_no_utf_8_is_refused(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / "latin2.parquet"
    pq.write_table(pa.table({"text": [prose(ENGLISH, 1)], "szerz~": ["A"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"szerz~", "szerző".encode("latin2")))
    report, _ = process(path, workspace, document_settings)
    assert report.status == "failed" and "no UTF-8" in (report.error or "")


def test_long_texts_are_cut(tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings) -> None:
    path = tmp_path / "novels.jsonl"
    text = "\n".join(prose(ENGLISH, seed) for seed in range(10))
    path.write_text(json.dumps({"text": text}))
    report, documents = process(path, workspace, document_settings, max_characters=1000)
    assert report.records == 1
    assert "\n".join(document["text"] for document in documents) == text
    assert {document["url"] for document in documents} == {"novels.jsonl:0"}
    assert len({document["doc_id"] for document in documents}) == len(documents) > 5


def test_bad_rows_leave_with_a_reason(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / "rows.jsonl"
    good = {"text": prose(ENGLISH, 1)}
    rows = [
        "{broken",
        "[]",
        json.dumps({"other": 1}),
        json.dumps({"text": 5}),
        json.dumps({"text": " "}),
        "",
        "[" * 99999,
    ]
    huge = json.dumps({"text": "x" * 30_000})
    path.write_text("\n".join([*rows, huge, json.dumps(good)]))
    report, documents = process(path, workspace, document_settings.model_copy(update={"max_bytes": 20_000}))
    assert [document["reason"] for document in documents] == [
        *["unreadable"] * 2,
        *["no_text"] * 3,
        "unreadable",
        "oversize",
        "kept",
    ]
    assert report.failures == []


def test_a_cut_gzip_keeps_the_lines_before(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / "cut.jsonl.gz"
    lines = "\n".join(json.dumps({"text": prose(ENGLISH, seed)}) for seed in range(400)).encode()
    path.write_bytes(gzip.compress(lines)[:-5000])
    report, documents = process(path, workspace, document_settings)
    assert report.status == "done"
    assert 0 < len(documents) < 400
    assert "lost" in report.failures[0]["error"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_a_row_that_is_no_utf8_costs_itself(
    kind: pa.DataType, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    rows = pa.array([prose(ENGLISH, 1).encode(), b"broken \xff\xfe", prose(FRENCH, 1).encode()], pa.large_binary())
    raw = rows.cast(pa.binary() if kind != pa.large_string() else pa.large_binary())
    text = pa.Array.from_buffers(kind, len(raw), raw.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "rows.parquet")
    report, documents = process(tmp_path / "rows.parquet", workspace, document_settings)
    assert report.failures == []
    assert [document["reason"] for document in documents] == ["kept", "unreadable", "kept"]


def test_an_element_of_an_array_costs_itself(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    good = [json.dumps({"text": prose(ENGLISH, seed)}).encode() for seed in range(4)]
    bad = [b'{"text": oops}', b'{"text": "\xff"}', b'["x"]', b'{"text": "' + b"x" * 300_000 + b'"}']
    elements = [element for pair in zip(good, bad, strict=True) for element in pair]
    (tmp_path / "rows.json").write_bytes(b"\n[" + b",\n ".join(elements) + b"]")
    report, documents = process(
        tmp_path / "rows.json", workspace, document_settings.model_copy(update={"max_bytes": 20_000})
    )
    reasons = [document["reason"] for document in documents]
    assert reasons == ["kept", "unreadable", "kept", "unreadable", "kept", "unreadable", "kept", "oversize"]
    assert report.failures == []


# In a process of its own: what malloc had left over from it, the reader would find.
WRITE_A_BOMB = """
import sys, pyarrow as pa, pyarrow.parquet as pq
one = pa.table({"text": pa.array(["b" * 500_000_000])})
with pq.ParquetWriter(sys.argv[1], one.schema, compression="zstd") as writer:
    writer.write_table(one)
    writer.write_table(pa.table({"text": ["A text in the second row group, which is read all the same."]}))
"""


@pytest.mark.slow
def test_a_bomb_stays_small(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One value that rows share, and one that no memory has room for."""
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["a " * 10_000_000]))
    pq.write_table(pa.table({"text": shared}), tmp_path / "shared.parquet", compression="zstd")
    _, documents = process(tmp_path / "shared.parquet", workspace, document_settings)
    assert [document["reason"] for document in documents] == ["oversize"] * 64
    monkeypatch.setattr("pipelines.sources.text_files._MAX_BATCH_BYTES", 50_000_000)
    subprocess.run([sys.executable, "-c", WRITE_A_BOMB, str(tmp_path / "one.parquet")], check=True)
    report, documents = process(tmp_path / "one.parquet", workspace, document_settings)
    assert [document["reason"] for document in documents if document["reason"] == "kept"] == ["kept"]
    assert "1 rows of row group 0 are lost" in report.failures[0]["error"]


def test_an_entry_that_rows_share_is_in_memory_once(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    entries = ["ő " * 10_000_000, prose(ENGLISH, 3)]
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 0, 0, None, 1] + [0] * 27, pa.int32()), pa.array(entries))
    pq.write_table(pa.table({"text": texts}), tmp_path / "shared.parquet", compression="zstd")
    [unit] = list_work_units({"novels": TextSource(paths=[str(tmp_path / "shared.parquet")])}, workspace)
    default = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(default)
    pa.set_memory_pool(pool)
    try:
        reasons = []
        for row in read_text(Path(unit.path), unit.options, document_settings.max_bytes):
            assert isinstance(row, TextRecord)
            reasons.append(row.fault)
    finally:
        pa.set_memory_pool(default)
    assert reasons == ["oversize"] * 3 + ["no_text", None] + ["oversize"] * 27
    assert pool.max_memory() < 200_000_000


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("texts.parquet", {}, "is not a Parquet file"),
        ("good.parquet", {"text_field": "nothing"}, r"has no column \['nothing'\]"),
        ("good.parquet", {"text_field": "many"}, r"many holds list<.*>, no text"),
        ("good.jsonl", {}, r"no text in the field 'text' of its 2 rows; they have 'id' \(str\), 'body' \(str\)"),
        ("good.jsonl", {"text_field": "many"}, r"'many' \(list\).*set the source's text_field"),
        ("one.json", {}, "one JSON object over many lines"),
        ("strings.jsonl", {}, r"none of its 4 lines is a JSON object in UTF-8, such as \{\"text\": "),
        ("latin2.jsonl", {}, "none of its 4 lines is a JSON object in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_failed_unit(
    name: str,
    fields: dict[str, str],
    sentence: str,
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
) -> None:
    (tmp_path / name).write_bytes(b"no such thing")
    rows = [row | {"many": ["a"]} for row in ROWS]
    if name == "good.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif name == "good.jsonl":
        (tmp_path / name).write_bytes(as_lines(rows))
    elif name == "strings.jsonl":
        (tmp_path / name).write_text('"a text of its own"\n' * 4)
    elif name == "latin2.jsonl":
        (tmp_path / name).write_bytes('{"text": "őszi eső"}\n'.encode("iso8859-2") * 4)
    elif name == "one.json":
        (tmp_path / name).write_text(json.dumps({"rows": rows}, indent=1))
    report, _ = process(tmp_path / name, workspace, document_settings, **fields)
    assert report.status == "failed"
    assert report.error is not None
    assert re.search(sentence, report.error)


@pytest.mark.parametrize(
    "content",
    [
        '{"data": [\n%s\n]}\n',
        '{"data": [%s\n]}\n',
        '{"version": "1,0", "data":\n[\n%s\n]}',
        '\ufeff\n{"version": 1,\r\n"data": [%s]}',
        '{"meta": {\n"n": [1]}, "data": [%s]}',
    ],
)
def test_rows_within_one_object_over_many_lines_are_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    """Read by lines, the first and the last row would be lost."""
    path = tmp_path / "rows.json"
    path.write_text(content % ",\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    with pytest.raises(InputError, match=r"one JSON object over many lines: .*jq -c"):
        list(json_rows(path, 10_000))


@pytest.mark.parametrize("cut", ['{"text": "a",', '{"text":', "{"])
def test_a_first_row_that_damage_cut_costs_itself(cut: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([cut, *map(json.dumps, ROWS)]))
    first, *rows = json_rows(path, 10_000)
    assert isinstance(first, str) and rows == ROWS


def test_rows_within_one_object_in_a_line_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"data": ROWS}))
    with pytest.raises(InputError, match=r"of its 1 rows; they have 'data' \(list\): .*elements of 'data' as objects"):
        list(read_text(path, {"text_field": "text", "id_field": None, "title_field": None}, 10_000))


@pytest.mark.parametrize("first", [b'{"text": "cut,', b'{"text": [[[,', b'{"text": "whole"},', b"\xff{,"])
def test_a_first_line_that_damage_cut_costs_no_other(first: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(first + b"\n" + as_lines(ROWS))
    assert list(json_rows(path, 10_000))[1:] == ROWS


def test_ids_that_shards_repeat_name_no_two_texts(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    found = []
    for shard in range(3):
        path = tmp_path / f"shard{shard}.jsonl"
        path.write_bytes(as_lines([{"id": row, "text": prose(ENGLISH, 10 * shard + row)} for row in range(3)]))
        found += process(path, workspace, document_settings, id_field="id")[1]
    assert len({document["doc_id"] for document in found}) == len(found) == 9


def test_texts_whose_ids_repeat_are_split_as_texts_of_their_own(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    for shard in range(3):
        rows = [{"id": row, "text": prose(ENGLISH, 100 * shard + row)} for row in range(20)]
        (tmp_path / f"shard{shard}.jsonl").write_bytes(as_lines(rows))
    units = list_work_units({"rows": TextSource(paths=[str(tmp_path / "*.jsonl")], id_field="id")}, workspace)
    for unit in units:
        process_unit(unit, document_settings, workspace.documents(documents_key(document_settings)))
    corpus = CorpusSettings(
        language="eng", text_domain="any", sources=["rows"], split_by="document", held_out_min_documents=4
    )
    version = workspace.corpus_version("c", build_corpus("c", corpus, units, document_settings, workspace).version)
    ids = {
        side: [row for file in shard_files(version, side) for row in pq.read_table(file)["doc_id"].to_pylist()]
        for side in ("train", "held_out")
    }
    assert len({*ids["train"], *ids["held_out"]}) == len(ids["train"]) + len(ids["held_out"]) == 60
    assert 4 <= len(ids["held_out"]) < 12


def test_a_text_that_several_files_have_under_one_id_is_one_document(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    """In a corpus it stands once, on one side, with its copies told, whichever of its files is there."""
    corpus = CorpusSettings(
        language="eng", text_domain="any", sources=["rows"], split_by="document", held_out_min_documents=4
    )
    texts = [prose(ENGLISH, row) for row in range(60)]
    for name, first, last in (("a", 0, 30), ("b", 10, 40), ("c", 20, 60)):
        rows = [{"id": row, "text": text} for row, text in enumerate(texts)][first:last]
        (tmp_path / f"{name}.jsonl").write_bytes(as_lines(rows))
    held_out = []
    # 51: one that is held out stays when its file has gone.
    for files, documents, copies in (("ab", 40, 20), ("abc", 60, 20), ("bc", 51, 20)):
        source = TextSource(paths=[str(tmp_path / f"{name}.jsonl") for name in files], id_field="id")
        units = list_work_units({"rows": source}, workspace)
        for unit in units:
            process_unit(unit, document_settings, workspace.documents(documents_key(document_settings)))
        report = build_corpus("c", corpus, units, document_settings, workspace)
        version = workspace.corpus_version("c", report.version)
        ids = {
            side: [row for file in shard_files(version, side) for row in pq.read_table(file)["doc_id"].to_pylist()]
            for side in ("train", "held_out")
        }
        assert len({*ids["train"], *ids["held_out"]}) == len(ids["train"]) + len(ids["held_out"])
        assert pq.read_table(version / "duplicates.parquet").num_rows == copies
        held_out.append(sorted(ids["held_out"]))
        assert report.documents == documents
    assert held_out[0] == held_out[1] == held_out[2]


def test_files_of_one_name_in_several_folders_have_ids_of_their_own(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    for folder, first in (("a", 0), ("b", 10), ("c", 0)):  # c is a copy of a, and adds nothing
        (tmp_path / folder).mkdir()
        rows = [{"text": prose(ENGLISH, first + row)} for row in range(3)]
        (tmp_path / folder / "part.jsonl").write_bytes(as_lines(rows))
    found = []
    for unit in list_work_units({"novels": TextSource(paths=[f"{tmp_path}/*/part.jsonl"])}, workspace):
        process_unit(unit, document_settings, workspace.root)
        found += pq.read_table(workspace.root / f"{unit.unit_id}.parquet").to_pylist()
    assert len({document["doc_id"] for document in found}) == len({d["url"] for d in found}) == len(found) == 6


@pytest.mark.parametrize("own_ids", [[None, None], [None, "kept"], ["same", "same"]])
def test_rows_without_the_named_id_or_with_one_that_repeats_have_ids_of_their_own(
    own_ids: list[str | None], tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    """In two files of one name, and of one text in a file."""
    for folder, first in (("a", 0), ("b", 10)):
        (tmp_path / folder).mkdir()
        rows = [{"id": own, "text": prose(ENGLISH, first + row)} for row, own in enumerate(own_ids)]
        (tmp_path / folder / "part.jsonl").write_bytes(as_lines([*rows, rows[0], {"text": ""}, {"text": ""}]))
    found = []
    paths = [str(tmp_path / folder / "part.jsonl") for folder in ("a", "b")]
    for unit in list_work_units({"novels": TextSource(paths=paths, id_field="id")}, workspace):
        process_unit(unit, document_settings, workspace.root)
        found += pq.read_table(workspace.root / f"{unit.unit_id}.parquet").to_pylist()
    assert len({document["doc_id"] for document in found}) == len(found) == 10
    for document in found:  # without an id of its own a row is no other's neighbour in the split
        assert document["url"] in ("same", "kept") or document["url"].endswith(f"/part.jsonl:{document['row']}")


def test_ids_that_do_not_repeat_are_those_that_they_always_were(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    (tmp_path / "part.jsonl").write_bytes(as_lines([{"id": 7, "text": "A text."}, {"id": 7, "text": "A text."}]))
    _, documents = process(tmp_path / "part.jsonl", workspace, document_settings, id_field="id")
    own = hashlib.blake2b(b"novels\x007\x000\x00A text.", digest_size=16).hexdigest()
    assert documents[0]["doc_id"] == own != documents[1]["doc_id"]


def test_a_file_of_no_known_kind_is_refused_before_it_is_read(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "novel.pdf").write_bytes(b"%PDF")
    with pytest.raises(InputError, match=r"sources.novels.paths: .*novel.pdf is of no known kind; .*\.parquet"):
        list_work_units({"novels": TextSource(paths=[str(tmp_path / "novel.pdf")])}, workspace)


@pytest.mark.parametrize("packed", [packed for packed in PACK if packed])
@pytest.mark.parametrize("kind", [".jsonl", "array.json"])
def test_damage_costs_the_part_that_it_hit(
    kind: str, packed: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    """Parts that were compressed one by one, cut in the middle of rows: two damaged, and a whole one behind each."""
    rows = [json.dumps({"text": prose(ENGLISH, seed)}) for seed in range(40)]
    content = ("[" + ",\n".join(rows) + "]" if "array" in kind else "\n".join(rows)).encode()
    pack = zstd if packed == ".zst" else PACK[packed]
    step = len(content) // 5
    parts = [bytearray(pack(content[start : start + step])) for start in range(0, len(content), step)]
    for damaged in (parts[1], parts[3]):
        damaged[len(damaged) // 2 : len(damaged) // 2 + 8] = b"\xaa\x55" * 4
    path = tmp_path / f"rows{kind}{packed}"
    path.write_bytes(b"".join(parts))
    report, documents = process(path, workspace, document_settings)
    texts = [document["text"] for document in documents if document["reason"] == "kept"]
    numbers = [number for number in range(40) if prose(ENGLISH, number) in texts]
    assert report.status == "done"
    assert {*range(7), *range(17, 23), *range(33, 40)} <= set(numbers)
    assert len(numbers) == len(texts) < 40
    assert [("goes on at byte" in failure["error"]) for failure in report.failures] == [True, True]
    assert [row["documents"] for row in report.funnel if row["reason"] == "damaged"] == [2]


@pytest.mark.parametrize("name", ["rows.jsonl.zst", "novel.txt.zst"])
def test_zstd_that_takes_too_much_memory_is_refused_with_the_way_out(
    name: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    """As `zstd --long=30` writes it: RFC 8878, window descriptor and one raw block."""
    text = json.dumps({"text": prose(ENGLISH, 3)}).encode()
    block = (len(text) << 3 | 1).to_bytes(3, "little") + text
    path = tmp_path / name
    path.write_bytes(b"\x28\xb5\x2f\xfd\x00" + bytes([(30 - 10) << 3]) + block)
    report, _ = process(path, workspace, document_settings)
    assert report.status == "failed"
    assert "a window of 1,024 MB" in str(report.error)
    assert "--long=31" in str(report.error)


def test_damage_in_a_plain_text_leaves_a_gap(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    text = prose(FRENCH, 1) + " é"
    parts = [bytearray(gzip.compress(part)) for part in (text.encode()[:-1], b"lost", text.encode()[-1:] + b" fin")]
    parts[1][12] ^= 0xFF
    path = tmp_path / "novel.txt.gz"
    path.write_bytes(b"".join(parts))
    report, [document] = process(path, workspace, document_settings)
    assert document["text"] == prose(FRENCH, 1) + " \n\n fin"
    assert len(report.failures) == 1


def test_elements_of_an_array_of_which_damage_took_the_beginning_are_rows(tmp_path: Path) -> None:
    rows = [json.dumps({"text": str(number)}) for number in range(6)]
    parts = [gzip.compress(part.encode()) for part in (f"[{rows[0]},\n", ",\n".join(rows[1:]) + "\n]\n")]
    path = tmp_path / "rows.json.gz"
    path.write_bytes(parts[0][:20] + parts[1])
    found = [row["text"] for row in json_rows(path, 1000) if isinstance(row, Mapping)]
    assert found == ["1", "2", "3", "4", "5"]


ELEMENTS = [json.dumps({"id": str(number), "text": "x" * 30, "of": {"a": [{"b": 1}, {"b": 2}]}}) for number in range(6)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.replace(b"}, {" + b'"id": "3"', b'"id": "3"'),  # the seam itself
        lambda content: content.replace(b'"2", "text": "xx', b'"2", "te\n'),
        lambda content: content.replace(b'"2", "text"', b'"2", "te]t'),
        lambda content: content.replace(b'}}, {"id": "3"', b'}}] {"id": "3"'),  # what looks like the array's end
        lambda content: content[:200] + b"\0" * 40 + content[240:],
    ],
)
@pytest.mark.parametrize("between", [", ", ",\n"])
def test_a_damaged_element_of_an_array_hides_not_the_next(
    between: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(damage(f"[{between.join(ELEMENTS)}]".encode()))
    found = list(json_rows(path, 10_000))
    assert {*"0145"} <= {row["id"] for row in found if isinstance(row, Mapping) and "id" in row}
    assert len(found) == 6 or "unreadable" in found


def test_an_element_behind_a_damaged_part_is_a_row(tmp_path: Path) -> None:
    """Each was compressed by itself: damage of one leaves no bracket and no comma between the two around it."""
    parts = [bytearray(gzip.compress(row.encode() + b",\n")) for row in ELEMENTS]
    parts[2][12:20] = b"\xff" * 8
    path = tmp_path / "rows.json.gz"
    path.write_bytes(gzip.compress(b"[") + b"".join(parts) + gzip.compress(b'{"id": "6"}]'))
    found = [row["id"] for row in json_rows(path, 10_000) if isinstance(row, Mapping)]
    assert found == ["0", "1", "3", "4", "5", "6"]


def test_a_text_in_utf_16_of_which_a_part_is_lost_is_not_guessed_at(tmp_path: Path) -> None:
    content = "Szép nap volt ma.".encode("utf-16")
    parts = [gzip.compress(content[:11]), gzip.compress(content[11:14])[:-1] + b"?", gzip.compress(content[14:])]
    path = tmp_path / "novel.txt.gz"
    path.write_bytes(b"".join(parts))
    failure, row = plain_text(path, "text", 1000)
    assert isinstance(failure, ReadFailure) and row == "unreadable"


def test_of_what_seems_to_begin_a_part_no_more_than_a_block_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these headers has a name that goes on to the end of the file."""
    read: list[int] = []
    kind = compressed_files._KINDS[".gz"]

    def counted(content: compressed_files.Content, place: int, *sizes: int) -> Iterator[compressed_files.Item]:
        if isinstance(content, Window):
            read.append(len(content))
        return kind.read(content, place)

    monkeypatch.setattr(compressed_files, "MAX_LOOKS", 20)
    monkeypatch.setitem(compressed_files._KINDS, ".gz", kind._replace(read=counted))
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n") + b"?" + b"\x1f\x8b\x08\x08name" * 33_000)
    assert [row for row in json_rows(path, 1000) if isinstance(row, ReadFailure)]
    assert len(read) > 10 and max(read) <= kind.block_bytes


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json.xz", "a.txt.bz2"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_was_packed_or_unpacked_under_another_name_is_read(
    name: str,
    pack: Callable[[bytes], bytes],
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
) -> None:
    """As a proxy leaves it that takes a server's compression away, or a program that forgets to."""
    text = prose(ENGLISH, 1)
    content = text.encode() if ".txt" in name else as_lines([{"text": text}])
    (tmp_path / name).write_bytes(pack(content))
    report, documents = process(tmp_path / name, workspace, document_settings)
    assert (report.status, report.failures) == ("done", [])
    assert [document["text"] for document in documents] == [text]
