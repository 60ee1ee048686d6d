"""Texts to tokens: tokenizers, token streams of corpora, and tokens added to a base for a new language."""
