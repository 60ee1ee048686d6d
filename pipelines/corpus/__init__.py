"""A version of a corpus is built: filter, deduplication, decontamination, split, shards, data card."""
