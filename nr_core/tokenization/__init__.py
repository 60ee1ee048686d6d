"""Texts to tokens.

tokenizer        a base's tokenizer, and streams of tokens
tokenize_corpus  a corpus to a stream; tokenize_shards: in several processes
new_tokens       tokens added to a base for a new language; new_token_head: so that they stay silent elsewhere
"""
