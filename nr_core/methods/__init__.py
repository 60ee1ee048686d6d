"""Methods and rivals, and how each is put on a base. Their records: nr_core.settings.method_table."""

from nr_core.methods.put_on_base import extend
from nr_core.settings.method_table import METHODS

__all__ = ["METHODS", "extend"]
