"""Steps on the text of each document of a corpus before it is written to shards: repair, PII, lines of bars.

Lines seen before are gone by then (pipelines/dedup/lines.py). Repair comes first, so that PII finds the address in a
text whose letters were broken. Each step looks at one text alone.
"""

from collections import Counter
from collections.abc import Callable
from itertools import groupby

from pipelines.settings import CorpusSettings
from pipelines.text.pii import replace_pii

# Lines that hold nothing but `|`, which extraction leaves where a table had empty cells.
#
# FineWeb2's last step: datatrove's SymbolLinesFormatter with `|` and a paragraph break in the place of such lines
# (fineweb-2-pipeline.py of github.com/huggingface/fineweb-2).


def break_at_bar_lines(text: str) -> str:
    """Return `text` with a paragraph break for each run of lines of `|` and white space; blank lines stay."""
    if "|" not in text:
        return text
    lines: list[str] = []
    for is_run, run in groupby(text.split("\n"), _is_bars):
        lines.extend(["\n"] if is_run else run)
    return "\n".join(lines).strip()


def _is_bars(line: str) -> bool:
    return "|" in line and not line.replace("|", "").strip()


class TextSteps:
    """The text steps of a corpus, and in how many documents each changed something, so far."""

    def __init__(self, settings: CorpusSettings) -> None:
        self._steps: dict[str, Callable[[str], str]] = {}
        if settings.repair:
            from pipelines.pages.charset.repair import repair  # ftfy takes a tenth of a second to import

            self._steps["repair"] = repair
        if settings.pii.emails or settings.pii.ip_addresses or settings.pii.phone_numbers:
            self._steps["pii"] = lambda text: replace_pii(text, settings.pii, settings.language)
        if settings.remove_bar_lines:
            self._steps["bar_lines"] = break_at_bar_lines
        self.changed = Counter[str](dict.fromkeys(self._steps, 0))

    def __call__(self, text: str) -> str:
        for name, step in self._steps.items():
            result = step(text)
            self.changed[name] += result != text
            text = result
        return text
