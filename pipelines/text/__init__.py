"""Measures texts, and changes what is personal.

languages        the table of languages; identify: which one a text is in; language_share, other_language: how surely
words            what a word is, and stop words; bad_words: lists of words
scores/          published scores; rules: thresholds over them, with FineWeb2's by language
quality_model    a classifier trained on chosen texts; pii: personal data
"""
