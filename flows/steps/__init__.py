"""Steps that the flows share: a thin call of pipelines or nr_core each, and the record of what came back.

corpora             versions in use, and their token streams; checks: what a corpus must be like to be trained on
cluster             work units and bands of signatures on Dask or Ray
base                a base given, pretrained or found; text that it writes itself
jobs                long torch work as `python -m nr_core`
tasks, evaluation_texts     what runs are measured on beside the corpora
result_records      rows of the record files; artifacts, progress: what Prefect's UI and a terminal show
"""
