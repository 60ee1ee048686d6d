"""Duplicates: MinHash signatures, exact and near copies, repeated lines, and the index that later versions read."""
