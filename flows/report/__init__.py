"""The report: one self-contained HTML file with what was learned, what was forgotten, and the SQL behind each picture.

Exports `write_report` and where it writes, `report_file`. Reads the catalog and nothing else; needs neither Prefect nor
torch.
"""

from flows.report.page import report_file, write_report

__all__ = ["report_file", "write_report"]
