"""Work units become documents: a page's or a text's row, all rows of a unit, all units.

row            one page or text -> one row: language, scores, signature
unit           one file -> its rows, and what left (unit_tally); unit_file: the Parquet file that they are written to
stage          all files -> `documents/<key>/`, by the worker processes of pipelines/workers/ or, in cluster_worker, one
added_languages  the same for more languages, of which only pages that may be in an added one are read again
shared_units   units that other machines read, by way of the bucket; given_files: lists that the settings name
"""

from pipelines.documents.stage import DOCUMENTS_STAGE_VERSION, UnitReport, documents_key, process_unit, process_units

__all__ = ["DOCUMENTS_STAGE_VERSION", "UnitReport", "documents_key", "process_unit", "process_units"]
