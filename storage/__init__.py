"""The workspace on disk: paths, atomic publication, records, and the DuckDB catalog with its SQL.

Exports by module: `workspace` (the only place that knows the paths), `publish` (write, rename, manifest last),
`keys` (what a step's result depends on), `content_hash` (of input files, remembered), `records` (the truth behind the
catalog), `catalog` (the DuckDB file that people query). Imports none of the other packages.
"""
