"""Steps that the flows share: a thin call of pipelines or nr_core each, and the record of what came back."""
