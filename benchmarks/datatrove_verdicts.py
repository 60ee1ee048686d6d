"""Our verdicts beside datatrove's on the same texts, with the same thresholds: profile fineweb2.

    python benchmarks/datatrove_verdicts.py PEER [FOLDER] [--write FILE]

PEER is the Python of an environment with datatrove[processing], spacy, sudachipy, sudachidict_core, jieba, pythainlp,
kiwipiepy and pyvi (words of unspaced scripts), FOLDER holds webpages-*.warc.gz (default:
../shared/data/crawl). The texts are our main content, of pages in a language of the profile. Each family of filters
judges all of them: the only differences are datatrove's tokenisers against white space, and how lines and sentences
are found. The last line is JSON by family: documents, both keep, both drop, only one of the two drops. --write keeps
which documents datatrove drops; tests/pipelines/text/test_datatrove_verdicts.py holds ours against those.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.documents.stage import process_unit
from pipelines.settings import DocumentSettings
from pipelines.sources.work_units import WorkUnit, documents_file
from pipelines.text.rules import RULE_OF_NAME, profile_thresholds
from pipelines.text.scores import SCORES
from pipelines.text.words import STOP_WORDS

FAMILIES = ("repetition", "quality", "c4", "fineweb")
HASH_CHARACTERS = 8  # of a text's hash, enough to tell some thousand texts apart
_SOURCES = {"Gopher, table A1": "repetition", "Gopher, section A1.1": "quality", "C4, section 2.2": "c4"}
_PEER = """
import json, sys
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
CODES = {"nor": "nob", "est": "ekk", "lav": "lvs"}
filters = {}
def filters_of(language, limits, stop_words):
    if language not in filters:
        code = CODES.get(language, language)
        of = limits.get
        filters[language] = {
            "repetition": GopherRepetitionFilter(
                dup_line_frac=of("duplicate_line_share_max"), dup_para_frac=of("duplicate_paragraph_share_max"),
                dup_line_char_frac=of("duplicate_line_character_share_max"),
                dup_para_char_frac=of("duplicate_paragraph_character_share_max"),
                top_n_grams=[(n, of(f"top_{n}_gram_share_max")) for n in (2, 3, 4)],
                dup_n_grams=[(n, of(f"duplicate_{n}_gram_share_max")) for n in (5, 6, 7, 8, 9, 10)], language=code),
            "quality": GopherQualityFilter(
                min_avg_word_length=of("mean_word_length_min"), max_avg_word_length=of("mean_word_length_max"),
                max_non_alpha_words_ratio=of("alphabetic_word_share_min"), stop_words=stop_words, language=code),
            "c4": C4QualityFilter(filter_no_terminal_punct=False, language=code),
            "fineweb": FineWebQualityFilter(
                line_punct_thr=of("terminal_line_share_min"), short_line_thr=of("short_line_share_max", 999),
                char_duplicates_ratio=of("repeated_line_character_share_max"),
                new_line_ratio=of("line_break_ratio_max"),
                language=code)}
    return filters[language]
for line in open(sys.argv[1]):
    row = json.loads(line)
    found = {}
    for family, judge in filters_of(row["language"], row["limits"], row["stop_words"]).items():
        if family == "c4" and "c4_sentences_min" not in row["limits"]:
            continue
        verdict = judge.filter(Document(text=row["text"], id=row["name"]))
        if verdict is not True:
            found[family] = verdict[1] if isinstance(verdict, tuple) else "dropped"
    print(json.dumps([row["name"], found]))
"""


def family_of(rule: str) -> str:
    return _SOURCES.get(RULE_OF_NAME[rule].source, "fineweb")


def documents_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Documents of the web pages, each text once, that are in a language of the profile."""
    seen = set()
    for file in sorted(folder.glob("webpages-*.warc.gz")):
        with tempfile.TemporaryDirectory() as out:
            process_unit(WorkUnit("unit", "web", "warc", str(file), 0, {}), DocumentSettings(), Path(out))
            columns = ["text", "language", "text_hash", *SCORES]
            rows = pq.read_table(documents_file(Path(out), "unit"), columns=columns).to_pylist()
        for row in rows:
            if row["text"] and row["language"] in STOP_WORDS and row["text_hash"] not in seen:
                seen.add(row["text_hash"])
                yield row


def our_reasons(row: dict[str, Any]) -> dict[str, str]:
    """By family, the first rule that leaves the document out."""
    found: dict[str, str] = {}
    for name, limit in profile_thresholds("fineweb2", row["language"]).items():
        rule, score = RULE_OF_NAME[name], row[RULE_OF_NAME[name].score]
        if score is not None and (score < limit if rule.is_minimum else score > limit):
            found.setdefault(family_of(name), name)
    return found


def named(row: dict[str, Any]) -> str:
    """Return what a text is called here, in whatever record it came."""
    return str(row["text_hash"].hex()[:HASH_CHARACTERS])


def agreement(rows: list[dict[str, Any]], theirs: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """By family: how many documents both keep, both drop, or one of the two drops."""
    counts = {family: Counter[str]() for family in FAMILIES}
    for row in rows:
        ours = our_reasons(row)
        for family in FAMILIES:
            if family != "c4" or row["language"] == "eng":
                who = (family in ours, named(row) in theirs[family])
                kind = {(False, False): "both_keep", (True, True): "both_drop", (True, False): "only_we_drop"}
                counts[family][kind.get(who, "only_datatrove_drops")] += 1
    return {family: {"documents": count.total(), **dict(sorted(count.items()))} for family, count in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data/crawl"))
    parser.add_argument("--write", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    rows = list(documents_of(arguments.folder))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as texts:
        for row in rows:
            limits = profile_thresholds("fineweb2", row["language"])
            given = {"limits": limits, "stop_words": sorted(STOP_WORDS[row["language"]])}
            texts.write(
                json.dumps({"name": named(row), "text": row["text"], "language": row["language"]} | given) + "\n"
            )
        texts.flush()
        with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
            script.write(_PEER)
            script.flush()
            done = subprocess.run(
                [arguments.peer, script.name, texts.name], stdout=subprocess.PIPE, text=True, check=False
            )
    if done.returncode:
        sys.exit(f"{arguments.peer} could not run the filters: are the packages that this file names installed there?")
    theirs = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    pairs = Counter(
        (family, our_reasons(row).get(family, "kept"), theirs[named(row)].get(family, "kept"))
        for row in rows
        for family in FAMILIES
        if (family in theirs[named(row)]) != (family in our_reasons(row))
    )
    for (family, ours, other), count in pairs.most_common(25):
        print(f"{count:4} {family}: we {ours}, datatrove {other}")
    dropped = {family: sorted(name for name, found in theirs.items() if family in found) for family in FAMILIES}
    figures = agreement(rows, dropped)
    if arguments.write:
        names = {family: " ".join(dropped[family]) for family in FAMILIES}
        arguments.write.write_text(json.dumps({"agreement": figures, "datatrove_drops": names}, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
