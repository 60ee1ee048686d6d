"""Rows for programs: JSON that every parser takes, CSV without Python's spelling, Parquet; and names told apart."""

import csv
import io
import json
import os

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.python_values import unique
from storage.query import WRITERS, json_text, query
from storage.workspace import Workspace

EVERYTHING = """SELECT 'nan'::DOUBLE AS none, ['-inf'::DOUBLE, 0.5] AS list,
    98765432109876543210.50::DECIMAL(38, 2) AS price,
    DATE '2031-02-03' AS day, TIMESTAMP '2031-02-03 04:05:06' AS moment, {'a': 'ő', 'b': NULL} AS struct,
    MAP {7: 1.5::DECIMAL(2, 1)} AS map, '\\xFF'::BLOB AS blob, true AS yes, 'a "b", c' AS text, NULL AS nothing"""


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    refresh_catalog(workspace)
    return workspace


def written(workspace, sql, format):
    out = io.BytesIO()
    WRITERS[format](workspace, sql, out)
    return out.getvalue()


def refuse(constant):
    raise ValueError(constant)


def test_json_holds_no_constants_of_its_own_and_keeps_digits(workspace):
    text = written(workspace, EVERYTHING, "json").decode()
    (row,) = json.loads(text, parse_constant=refuse)
    assert row == {
        "none": None, "list": [None, 0.5], "price": 98765432109876543210.5, "day": "2031-02-03",
        "moment": "2031-02-03T04:05:06", "struct": {"a": "ő", "b": None}, "map": {"7": 1.5}, "blob": "ff", "yes": True,
        "text": 'a "b", c', "nothing": None,
    }  # fmt: skip
    assert "98765432109876543210.50" in text
    assert json.loads(written(workspace, "SELECT 1 WHERE false", "json")) == []


def test_csv_spells_nested_values_as_json(workspace):
    (names, cells) = csv.reader(io.StringIO(written(workspace, EVERYTHING, "csv").decode()))
    row = dict(zip(names, cells, strict=True))
    assert json.loads(row["list"]) == [None, 0.5] and json.loads(row["struct"]) == {"a": "ő", "b": None}
    assert (row["yes"], row["text"], row["nothing"], row["blob"]) == ("true", 'a "b", c', "", "ff")


@pytest.mark.parametrize("format", ["json", "csv"])
def test_a_date_without_end_is_no_date(workspace, format):
    """Python would have it 9999-12-31, which may be a real one."""
    sql = "SELECT 'infinity'::DATE AS day, '-infinity'::TIMESTAMPTZ AS day, DATE '9999-12-31' AS last -- of all"
    text = written(workspace, sql, format).decode()
    assert (
        text
        == {
            "json": '[\n {"day": null, "day_1": null, "last": "9999-12-31"}\n]\n',
            "csv": "day,day_1,last\n,,9999-12-31\n",
        }[format]
    )


def _json(cell):
    if not cell:
        return None
    return json.loads(cell) if cell[0] in "[{" else cell


@pytest.mark.parametrize("format", ["json", "csv"])
def test_nor_is_one_inside_a_list_a_struct_a_map_or_a_union(workspace, format):
    ends, ever = "DATE '9999-12-31'", "'infinity'::DATE"
    union = 'UNION("a day" DATE, word VARCHAR, days DATE[])'
    values = [
        f"[{ever}, {ends}, NULL]", f"[[{ever}], NULL]", f"array_value({ever}, {ends})",
        f"{{'to': {{'a b': [{ever}]}}, 'from': '-infinity'::TIMESTAMP, 'n': 1}}", f"MAP {{'x': {ever}, 'y': {ends}}}",
        "NULL::STRUCT(day DATE)", f"[{{'day': {ever}}}, NULL]", "[1, 2]", f"row({ends}, 1)",
        f"row({ever}, [{ends}])", f"MAP {{{ever}: 1, {ends}: 2}}",
        f"{ever}::{union}", f"{ends}::{union}", f"'x'::{union}", f"[[{ever}]::{union}]",
    ]  # fmt: skip
    sql = "SELECT " + ", ".join(f"{value} AS v{n}" for n, value in enumerate(values))
    expected = [
        [None, "9999-12-31", None], [[None], None], [None, "9999-12-31"],
        {"to": {"a b": [None]}, "from": None, "n": 1}, {"x": None, "y": "9999-12-31"},
        None, [{"day": None}, None], [1, 2], ["9999-12-31", 1],
        [None, ["9999-12-31"]], {"infinity": 1, "9999-12-31": 2},
        None, "9999-12-31", "x", [[None]],
    ]  # fmt: skip
    text = written(workspace, sql, format).decode()
    if format == "json":
        found = list(json.loads(text)[0].values())
    else:
        found = [_json(cell) for cell in list(csv.reader(io.StringIO(text)))[1]]
    assert found == expected


SPANS = """SELECT INTERVAL 2 MONTH AS span, [INTERVAL '100000000 years'] AS long, TIME_NS '01:02:03.000000004' AS time,
    {'at': TIMESTAMP_NS '2031-02-03 04:05:06.000000007'} AS moment, MAP {INTERVAL 1 DAY: 1} AS map, 1 AS one; -- all"""


def test_months_and_nanoseconds_stay_and_a_comment_may_stand_behind_the_statement(workspace):
    assert json.loads(written(workspace, SPANS, "json")) == [
        {
            "span": "2 months", "long": ["100000000 years"], "time": "01:02:03.000000004",
            "moment": {"at": "2031-02-03T04:05:06.000000007"}, "map": {"1 day": 1}, "one": 1,
        }
    ]  # fmt: skip
    (_, cells) = csv.reader(io.StringIO(written(workspace, SPANS, "csv").decode()))
    assert cells[0] == "2 months"
    assert (
        pq.read_table(io.BytesIO(written(workspace, "SELECT 'a;' AS one; /* b */ ;", "parquet")))["one"][0].as_py()
        == "a;"
    )


@pytest.mark.parametrize("member", ["{}", "[{}]", "array_value({})", "MAP {{1: {}}}", "{{a: {}}}", "row({})"])
def test_months_stay_inside_a_union_too(workspace, member):
    text = written(workspace, f"SELECT union_value(span := {member.format('INTERVAL 1 MONTH')}) AS u", "json").decode()
    assert "1 month" in text and "days" not in text
    union = "UNION(span INTERVAL, n INTEGER)"
    of_both = f"SELECT unnest([INTERVAL 7 MONTH::{union}, 3::{union}, NULL]) AS u"
    assert json.loads(written(workspace, of_both, "json")) == [{"u": "7 months"}, {"u": 3}, {"u": None}]


def test_a_folder_that_is_no_workspace_or_holds_no_such_files_is_a_sentence_without_nr_verify(workspace, tmp_path):
    for sql, says in (
        (f"FROM documents('{tmp_path}/gone')", "gone', which is no workspace"),
        (f"FROM language_agreement('{tmp_path}')", "which is no workspace"),
        (f"FROM clusters('{workspace.root}')", "holds no corpora/*/*/clusters.parquet yet: `nr refresh CONFIG`"),
        ("FROM documents('~')", "'~', which is no workspace"),
        ("FROM documents('s3://shelf/novels')", "s3://shelf/novels/documents/*/*.parquet is not on this machine"),
        (f"FROM '{tmp_path}/*.parquet'", "correct the path in the query"),
    ):
        with pytest.raises(InputError) as error:
            query(workspace, sql)
        assert says in str(error.value) and "nr verify" not in str(error.value)


def test_a_catalog_that_was_cut_short_is_said_with_the_remedy(workspace):
    with duckdb.connect(workspace.catalog) as catalog:
        catalog.execute("CREATE TABLE long AS SELECT range, hash(range) AS hashed FROM range(200_000)")
    os.truncate(workspace.catalog, workspace.catalog.stat().st_size // 2)
    with pytest.raises(InputError, match="nr catalog rebuild"):
        query(workspace, "SELECT sum(hashed) FROM long")


def test_columns_of_one_name_are_told_apart_in_every_format(workspace):
    sql = "SELECT 1 AS x, 2 AS x, 3 AS X_1, 4 AS x"
    names = query(workspace, sql).columns
    assert len({name.lower() for name in names}) == 4 and names[0] == "x" and names[2] == "X_1"
    assert [list(row) for row in json.loads(written(workspace, sql, "json"))] == [names]
    assert written(workspace, sql, "csv").decode().splitlines() == [",".join(names), "1,2,3,4"]
    assert pq.read_table(io.BytesIO(written(workspace, sql, "parquet"))).to_pylist() == [
        dict(zip(names, (1, 2, 3, 4), strict=True))
    ]


@given(st.lists(st.sampled_from(["a", "A", "a_1", "b", "a_2", ""])))
def test_unique_names_are_unique_and_keep_their_order(names):
    told = unique(names)
    assert len({name.lower() for name in told}) == len(names)
    assert all(own.startswith(name) for own, name in zip(told, names, strict=True))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_any_value_is_json(value):
    json.loads(json_text(value), parse_constant=refuse)


def test_a_pivot_is_answered_in_every_format(workspace):
    """DuckDB runs it as several statements, which a second run finds done."""
    data = "(VALUES ('lora', 0, 25), ('lora', 1, 5)) t(name, seed, learned)"
    for sql in (
        f"PIVOT (FROM {data}) ON seed USING max(learned)",
        f"FROM (PIVOT (FROM {data}) ON seed USING max(learned))",
    ):
        assert json.loads(written(workspace, sql, "json")) == [{"name": "lora", "0": 25, "1": 5}]
        assert written(workspace, sql, "csv") == b"name,0,1\nlora,25,5\n"
        table = pq.read_table(io.BytesIO(written(workspace, sql, "parquet")))
        assert table.to_pylist() == [{"name": "lora", "0": 25, "1": 5}]
    assert json.loads(written(workspace, "CREATE TEMP TABLE t AS SELECT 1", "json")) == [{"Count": 1}]


@pytest.mark.parametrize("format", WRITERS)
def test_what_duckdb_refuses_is_a_sentence(workspace, format):
    for sql in (
        "FROM nowhere",
        "DELETE FROM runs",
        "CREATE TABLE t (x INTEGER)",
        "SELECT 1; SELECT 2",
        "SELECT error('no') FROM range(5)",
    ):
        with pytest.raises(InputError):
            written(workspace, sql, format)
