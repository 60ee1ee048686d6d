"""The report: one self-contained HTML file with what was learned, what was forgotten, and the SQL behind each picture.

Exports `write_report`. Reads the catalog and nothing else; needs neither Prefect nor torch.
"""

from flows.report.page import write_report

__all__ = ["write_report"]
