"""Reads WARC files record by record, damaged ones too.

reader     the records, and what damage cost
capture    what is taken of one record, with what its crawler says of a page's languages; one read again, by its place
record_filter    which captures may be pages; http_body: a body without chunks and compression
header     a record's header, whole or not
recovery   where records begin behind damage: places from which reading can go on
compressed_parts   gzip members and frames of zstd and lz4, each of which should hold one record
"""

from pipelines.pages.warc.capture import Capture
from pipelines.pages.warc.reader import read_items, read_records, read_warc
from pipelines.sources.retries import ReadFailure

__all__ = ["Capture", "ReadFailure", "read_items", "read_records", "read_warc"]
