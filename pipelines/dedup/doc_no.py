"""Document numbers: the order in which duplicates are judged, so that what came first stays.

doc_no (UBIGINT) = refresh (12 bits) ‖ unit (20 bits) ‖ row (32 bits). A refresh is the version of the corpus in which
the unit came in; units of one refresh are numbered in the order of their paths when they came in.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.sources.work_units import WorkUnit
from storage.errors import InputError

MAX_REFRESHES, MAX_UNITS = 1 << 12, 1 << 20


def number_units(units: Sequence[WorkUnit], earlier: Mapping[str, int]) -> dict[str, int]:
    """Refresh of each unit, in doc_no order: units of an earlier version keep theirs and their order, even where the
    files have moved since; new ones share the next. A file that two sources name is one unit."""
    given = {unit.unit_id for unit in units}
    refresh = max(earlier.values(), default=-1) + 1
    numbered = {unit_id: number for unit_id, number in earlier.items() if unit_id in given}
    for unit in sorted(units, key=lambda unit: unit.path):
        numbered.setdefault(unit.unit_id, refresh)
    return numbered


def first_doc_nos(refreshes: Mapping[str, int]) -> dict[str, int]:
    """Number of row 0 of each unit. Raises InputError when there are more refreshes or units than numbers."""
    if max(refreshes.values(), default=0) >= MAX_REFRESHES or len(refreshes) >= MAX_UNITS:
        raise InputError(
            f"a corpus has at most {MAX_REFRESHES} refreshes of {MAX_UNITS} files: publish the next under a new name"
        )
    ordinals: dict[int, int] = {}
    numbers = {}
    for unit_id, refresh in refreshes.items():
        ordinal = ordinals.get(refresh, 0)
        ordinals[refresh] = ordinal + 1
        numbers[unit_id] = refresh << 52 | ordinal << 32
    return numbers


def among(values: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Tell which values are among the wanted, which are sorted: numpy's isin sorts them for every batch anew."""
    if not len(wanted):
        return np.zeros(len(values), dtype=bool)
    return wanted[np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)] == values
