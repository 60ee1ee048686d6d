"""Steps that the flows share: a thin call of pipelines or nr_core each, and the record of what came back.

tokens              token streams of the corpora's versions in use, and of evaluation texts beside them
checks              what a corpus must be like to be trained on
cluster             work units and bands of signatures on Dask or Ray
base                a base given, pretrained or found; own_text: text that it writes itself
jobs                long torch work as `python -m nr_core`
tasks               questions that runs are asked beside held-out text
result_records      rows of the record files; artifacts, progress: what Prefect's UI and a terminal show
"""
