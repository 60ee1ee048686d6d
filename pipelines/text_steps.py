"""What is done to the text of each document of a corpus before it is written to shards: repair, PII, lines of bars.

Lines seen before are gone by then (line_dedup.py). Repair comes first, so that PII finds the address in a text whose
letters were broken. Each step looks at one text alone.
"""

from collections import Counter
from collections.abc import Callable

from pipelines.bar_lines import break_at_bar_lines
from pipelines.pii import replace_pii
from pipelines.settings import CorpusSettings


class TextSteps:
    """The text steps of a corpus, and in how many documents each changed something, so far."""

    def __init__(self, settings: CorpusSettings) -> None:
        self._steps: dict[str, Callable[[str], str]] = {}
        if settings.repair:
            from pipelines.repair import repair  # ftfy takes a tenth of a second to import

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
