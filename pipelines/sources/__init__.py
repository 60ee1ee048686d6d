"""Finds text and brings it here. A kind of source is a class of pipelines/settings/sources.py.

work_units       what is read at a time, and reports of it; fetch_unit: one unit here for as long as it is read
common_crawl/    snapshots resolves a snapshot and lists its files; columnar_index and selection choose pages of it
remote           files elsewhere at a bounded rate: http_ranges, fsspec_stores, retries; urls: addresses as written
text_files       files of documents: JSON lines, Parquet, plain text; text_rows: one row
compressed_files gzip, zstd and others, damaged ones too; compressed_frames: their parts
"""
