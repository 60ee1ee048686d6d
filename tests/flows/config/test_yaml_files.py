"""Configs are YAML 1.2 without its traps: what the traps would have made of a value is refused, or it is text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.config.yaml_files import parse_overrides, parse_yaml, read_yaml, write_yaml
from storage.errors import InputError


def refused(text):
    with pytest.raises(InputError) as error:
        parse_yaml(text, "my.yaml")
    sentence = str(error.value)
    assert sentence.startswith("my.yaml") and "\n" not in sentence and len(sentence) < 500
    return sentence


def test_plain_values_are_those_of_version_1_2():
    text = (
        "[no, Yes, on, off, y, 12:30:45, 2025-02-29, 1_0, 0x1f, 0o17, 2e-4, -.5, true, NULL, ~, 3.0, .inf, -.INF, '']"
    )
    assert parse_yaml(text, "x") == [
        "no", "Yes", "on", "off", "y", "12:30:45", "2025-02-29", "1_0", 31, 15, 2e-4, -0.5, True, None, None, 3.0,
        math.inf, -math.inf, "",
    ]  # fmt: skip
    assert math.isnan(parse_yaml(".NaN", "x"))
    assert parse_yaml("", "x") is None is parse_yaml("# nothing", "x")


def test_keys_are_text():
    assert parse_yaml("{on: a, 7: b, 3.5: c, null: d, 010: e}", "x") == dict(
        zip(["on", "7", "3.5", "null", "010"], "abcde", strict=True)
    )
    assert "a key must be a word" in refused("? [a, b]\n: 1")
    assert "a key must be a word" in refused("{~ : 1}".replace("~", "''"))


def test_a_key_with_nothing_behind_it_says_nothing_and_null_is_a_value():
    assert parse_yaml("a:\n#  b: 1\nc: ~\nd: {e: , f: 1}\n", "x") == {"c": None, "d": {"f": 1}}


def test_a_decimal_comma_in_braces_is_refused_where_it_would_be_a_key_of_its_own():
    assert "`25` has no colon and no value" in refused("training: {clip: 0,25}")
    assert "no colon" in refused("a: {b: 1, c}")
    assert "`25` has no colon" in refused("training: { clip: 0,25 }")
    assert parse_yaml("{b: 1, c: , d : }", "x") == {"b": 1}
    assert parse_yaml("{b: 1, }", "x") == {"b": 1}


@pytest.mark.parametrize("number", ["007", "-012", "+00", "089"])
def test_leading_zeros_are_refused_unless_quoted(number):
    assert "my.yaml, line 2, column 8" in (said := refused(f"b: 1\nseed: [{number}]")) and "leading zeros" in said
    assert parse_yaml(f"'{number}'", "x") == number


def test_a_key_that_stands_there_twice_names_both_lines():
    assert "key `b` stands there twice, in line 2 and in line 4; keep one" in refused("a:\n  b: 1\n  c: 2\n  b: 1\n")
    assert "in line 1 and in line 1" in refused("x: [{k: 1, 'k': 2}]")


def test_anchors_and_merges_hold():
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3}\nc: {<<: *a, y: 9}\nd: {<<: [*b, *a]}\ne: *a"
    read = parse_yaml(text, "x")
    assert (read["c"], read["d"], read["e"]) == ({"x": 1, "y": 9}, {"x": 1, "y": 3}, {"x": 1, "y": 2})
    assert "takes a mapping" in refused("{<<: [1]}")


def test_what_would_never_end_is_refused_at_once():
    levels = "".join(f"- &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert "once its aliases are written out" in refused(f"- &a [lol]\n{levels}")
    assert "stands inside of what it stands for" in refused("a: &a\n  b: [{c: *a}]")
    chain = "".join(f"- &n{i + 1} [*n{i}]\n" for i in range(300))
    assert "too deep" in refused(f"- &n0 x\n{chain}")
    for opening in ("[", "{a: ", "- ", "? "):
        assert "nested more than 40 deep" in refused(opening * 30_000)
    assert "digits" in refused(f"a: {'1' * 5000}")


@pytest.mark.parametrize("value", ["!!bool yes", "!!int 1_0", "!!null none", "!!float 1:30"])
def test_a_tag_makes_no_other_value_of_a_text(value):
    """PyYAML's constructors took `yes` for false here, and `1_0` for 10."""
    with pytest.raises(InputError, match=r"here, line 1, column 4: it is no (bool|int|null|float)"):
        parse_yaml(f"a: {value}", "here")


def test_spaces_around_the_field_of_an_override_are_no_part_of_it():
    assert parse_overrides([" training . steps = 100"]) == {"training": {"steps": 100}}


@pytest.mark.parametrize(
    "tag", ["!!python/name:os.system x", "!mine 3", "!!binary aGk=", "!!timestamp 2020-01-01", "!!set {a}"]
)
def test_tags_are_refused(tag):
    assert "it has a tag" in refused(f"a: {tag}")


def test_syntax_errors_name_the_place_and_repeat_nothing_of_the_file():
    assert "line 2, column 1" in (said := refused("a:\n\tb: 1")) and "indent with spaces" in said
    assert "another document" in refused("a: secret\n---\nb: 2")
    assert "secret" not in refused("secret: [secret\nsecret: x")
    assert "control character" in refused("a: b\x07")


def test_files_in_any_unicode_encoding(tmp_path):
    path = tmp_path / "c.yaml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes("név: ő\n".encode(encoding))
        assert read_yaml(path) == {"név": "ő"}
    path.write_bytes("a: 1\nnév: x\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        read_yaml(path)
    path.write_bytes(b"# " + b"x" * 400_000)
    with pytest.raises(InputError, match="hardly a config"):
        read_yaml(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path)


texts = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff\ufffe\uffff"),
    max_size=8,
)
looks_like_more = st.from_regex(
    r"[-+]?[0-9]{1,4}([.e:_][0-9]{1,2})?|0[ox][0-7]+|no|YES|~|null|\.inf|<<", fullmatch=True
)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts | looks_like_more
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts.filter(bool) | looks_like_more.filter(lambda t: t != "<<"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_read_again(value):
    assert parse_yaml(write_yaml(value), "x") == value
