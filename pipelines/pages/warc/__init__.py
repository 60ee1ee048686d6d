"""Reads WARC files record by record, damaged ones too.

reader    the records, and what damage cost
header    a record's header, whole or not
places    where records begin behind damage: places from which reading can go on
"""

from pipelines.pages.warc.reader import Capture, read_records, read_warc

__all__ = ["Capture", "read_records", "read_warc"]
