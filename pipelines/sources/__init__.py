"""Sources of text that are not on this machine: Common Crawl, the web, buckets, the hub.

`crawls` resolves a snapshot and lists its files, `columnar_index` and `selection` choose single pages of it, `remote`
fetches politely, `fetch_unit` brings one work unit here for as long as it is read.
"""
