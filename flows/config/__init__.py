"""The one tree of settings: from YAML, from flow parameters and from the form in Prefect, always the same study."""
