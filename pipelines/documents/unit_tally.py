"""Tally what the reading of a unit has come to: its records, what left and why, where reading broke. Then report it."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.documents.row import STAGE_OF_REASON
from pipelines.sources.work_units import Failure, FunnelRow, UnitReport, WorkUnit
from pipelines.text.languages import UNDETERMINED, code_of_label

DAMAGED = "damaged"  # of the places where reading broke: how many records were lost there is not known


class UnitTally:
    """Counts of one reading of a unit; `attempt` is 1 for the first."""

    def __init__(self, unit: WorkUnit, attempt: int) -> None:
        self._unit, self._attempt = unit, attempt
        self.bytes = unit.bytes
        self.records = 0
        self.failures: list[Failure] = []
        self._documents: Counter[tuple[str, str]] = Counter()
        self._characters: Counter[tuple[str, str]] = Counter()
        self._started = time.monotonic()

    @property
    def damaged(self) -> int:
        return self._documents[UNDETERMINED, DAMAGED]

    def add_damage(self, places: int) -> None:
        self._documents[UNDETERMINED, DAMAGED] += places

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            key = _language(row), row["reason"]
            self._documents[key] += 1
            self._characters[key] += row["characters"]

    def done(self, file_bytes: int, file_sha256: str) -> UnitReport:
        """Return the report of a unit whose documents file is this."""
        return self.report(
            status="done",
            documents=sum(self._documents.values()) - self.damaged,  # nobody knows how many those were
            funnel=[
                FunnelRow(
                    language=language,
                    stage=STAGE_OF_REASON[reason],
                    reason=reason,
                    documents=count,
                    characters=self._characters[language, reason],
                )
                for (language, reason), count in sorted(self._documents.items())
                if count
            ],
            file_bytes=file_bytes,
            file_sha256=file_sha256,
        )

    def failed(self, error: str) -> UnitReport:
        return self.report(status="failed", error=error)

    def report(self, **outcome: Any) -> UnitReport:
        unit = self._unit
        return UnitReport(
            unit_id=unit.unit_id,
            source=unit.source,
            kind=unit.kind,
            path=unit.path,
            attempts=self._attempt,
            failures=self.failures,
            records=self.records,
            bytes=self.bytes,
            seconds=time.monotonic() - self._started,
            **outcome,
        )


def _language(document: Mapping[str, Any]) -> str:
    """Return a document's language, of one that left before it was looked at by who crawled it, if that is known."""
    crawlers = document.get("content_languages") or UNDETERMINED
    return document.get("language") or code_of_label(crawlers.partition(",")[0])
