"""Sources of text that are not on this machine: Common Crawl, the web, buckets, the hub.

`common_crawl/`: `snapshots` resolves a snapshot and lists its files, `columnar_index` and `selection` choose single
pages of it. `remote` fetches at a bounded rate, `fetch_unit` brings one work unit here for as long as it is read.
"""
