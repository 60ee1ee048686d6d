"""Our verdicts on real pages against datatrove's, as benchmarks/datatrove_verdicts.py found and kept them.

What differs is explained in docs/filters.md.
"""

import json
from pathlib import Path

import pytest

from benchmarks.datatrove_verdicts import FAMILIES, agreement, documents_of

KEPT = json.loads((Path(__file__).parent / "datatrove_verdicts.json").read_text())


def test_families_agree_on_nearly_all_documents() -> None:
    for family in FAMILIES:
        counts = KEPT["agreement"][family]
        same = counts["both_keep"] + counts["both_drop"]
        assert same / counts["documents"] > (0.91 if family == "quality" else 0.97)


@pytest.mark.shared
@pytest.mark.slow
def test_our_verdicts_are_those_that_were_compared(shared_data: Path) -> None:
    rows = list(documents_of(shared_data / "crawl"))
    drops = {family: KEPT["datatrove_drops"][family].split() for family in FAMILIES}
    assert agreement(rows, drops) == KEPT["agreement"]
