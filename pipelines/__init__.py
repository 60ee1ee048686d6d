"""Text out of crawls: read, gate, opt-outs, decode, extract, identify, score, deduplicate, shard.

Exports by module: `settings` (what a user sets), `work_units` (sources to files), `documents` (files to documents, in
worker processes), `corpus` (documents to a published corpus version), `sample_crawl` (the generated crawl of demo and
tests). Imports storage, and none of the other rooms.
"""
