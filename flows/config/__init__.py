"""The one tree of settings: from YAML, from flow parameters and from the form in Prefect, always the same study.

study               the tree; runs: its parts about bases, runs and evaluation; resources: of the machine
yaml_files, extends a config on disk, what it extends and what overrides it; nulls: what takes a key away
run_form            the JSON schema of a flow's parameter in Prefect
errors, inputs      what is wrong with a config, or missing on this machine, in one sentence
"""
