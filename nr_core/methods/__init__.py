"""One table of methods and rivals, and how each is put on a base."""

from nr_core.methods.table import METHODS, extend

__all__ = ["METHODS", "extend"]
