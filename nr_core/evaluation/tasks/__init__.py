"""Evaluation tasks: multiple choice, minimal pairs, word order, acceptability, last word. A task is a YAML file.

settings         what the file holds
items            its rows, from the hub, from files or made here, and the questions made of them
kinds            the table of kinds, each with its items and figures; word_order: sentences beside their corruption
loglikelihood    the scorer that they share; token_tree: questions that begin alike are computed once; ratio: figures
harness          lm-evaluation-harness, where it is asked for

Prompts and the rule that picks the answer are those of lm-evaluation-harness, so that figures agree item by item.
"""
