"""FineWeb2's thresholds by language: fineweb2_thresholds.tsv beside this file.

Penedo et al. 2025 (https://arxiv.org/abs/2506.20920), out of github.com/huggingface/fineweb-2,
configs/<language>_<script>.yml, read in November 2026; the table names each file and the commit of it that was at hand
(05e67295, else baedee44). Where both were, the earlier one, baedee44, is stricter on repetition (hun: top 2-grams .095
and .226, terminal lines .167 and .067, line breaks .278 and .231). A macrolanguage has the figures of the member that
its file is of (ara: arb); Serbian those of srp_Cyrl.

FineWeb2's thresholds of the language score are GlotLID's and are not here: pipelines/text/languages.py has ours for
lid.176. The licence stands in NOTICE.
"""

import csv
from collections.abc import Mapping
from importlib import resources

_OTHER_COLUMNS = ("language", "config", "commit")

with resources.files("pipelines.text").joinpath("fineweb2_thresholds.tsv").open(encoding="utf-8") as _file:
    _ROWS = list(csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE))

THRESHOLDS: Mapping[str, Mapping[str, float]] = {
    row["language"]: {name: float(value) for name, value in row.items() if name not in _OTHER_COLUMNS} for row in _ROWS
}
