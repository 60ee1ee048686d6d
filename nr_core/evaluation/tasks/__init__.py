"""Evaluation tasks: multiple choice, minimal pairs, word order, acceptability, last word.

`settings` (what a task's YAML file holds), `rows` (its data, from the hub or from files), `kinds` (the table of
kinds, each with its items and figures), `loglikelihood` (the scorer they share). Prompts and the rule that picks the
answer are those of lm-evaluation-harness, so that figures agree with it item by item.
"""
