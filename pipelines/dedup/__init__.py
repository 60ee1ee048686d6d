"""Duplicates: exact and near copies, repeated lines, and the index that later versions read.

compared_text    which text of a document is compared: change it for another key
signature        MinHash signatures; minhash: near copies by bands; deduplicate: exact copies and both in order
lines            lines seen before; index: what earlier versions kept
"""
