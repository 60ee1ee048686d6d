"""What a page that is shared says of files: their names, and not where they lie."""

import pytest

from storage.locations import values_without_folders, without_folders


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/home/Kiss Anna/my crawl/*.warc.gz", "…/*.warc.gz"),
        ("~/texts/own words.txt", "…/own words.txt"),
        ("/scratch", "…/scratch"),
        ("file:///srv/data/a b", "…/a b"),
        ("file:/srv/data/a b", "…/a b"),
        ("file:/a.gz", "…/a.gz"),
        ("FILE://localhost/srv/data/a.gz", "…/a.gz"),
        ("zip://*.jsonl::/home/anna/my texts/a.zip", "zip://*.jsonl::…/a.zip"),
        ("zip://in/a.jsonl::file:///srv/data/a.zip", "zip://in/a.jsonl::…/a.zip"),
        ("simplecache::file:/srv/data/a.gz", "simplecache::…/a.gz"),
        ("zip://*::https://example.org/a/b.zip", "zip://*::https://example.org/a/b.zip"),
        ("profile:/a/b", "profile:/a/b"),
        ("https://example.org/a/b.gz", "https://example.org/a/b.gz"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("org/model", "org/model"),
        ("data/../rows.jsonl", "data/../rows.jsonl"),
        ("env FILE=/opt/site/run.sh start", "env FILE=…/run.sh start"),
        (0.5, 0.5),
        (None, None),
    ],
)
def test_a_setting_keeps_the_name_of_its_file_alone(given, kept):
    assert values_without_folders({"a": [{"b": given}]}) == {"a": [{"b": kept}]}


def test_in_a_sentence_the_words_around_a_path_stay():
    chain = "cannot open zip://*::/srv/x/a.zip or file:/srv/x/b.gz"
    assert without_folders(chain) == "cannot open zip://*::…/a.zip or …/b.gz"
    said = "no such file: '/home/anna/base/config.json' (from /srv/x/y), see https://example.org/a/b and and/or"
    kept = "no such file: '…/config.json' (from …/y), see https://example.org/a/b and and/or"
    assert without_folders(said) == kept
