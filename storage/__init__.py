"""The workspace on disk: paths, atomic publication, records, and the DuckDB catalog with its SQL.

    workspace      the only place that knows the paths; bucket: the same parts at an fsspec URL
    files          one file, written whole and read with a sentence where it is damaged
    publish        folders that are made once: write, rename, manifest last
    keys           hashes that name a step's result, and content hashes of input files
    records        the record files, the truth behind the catalog
    catalog        the DuckDB file that people query; query: SQL over it, rows as JSON, CSV or Parquet
    python_values  values as Python has them; kept_results: SQL over files of docs/results
    locations      paths and addresses as people write them
    errors         errors the user can fix, and those of the operating system in one sentence

Imports none of the other packages.
"""

from storage.former_names import FORMER_NAMES, keep_old_names

keep_old_names(FORMER_NAMES)
