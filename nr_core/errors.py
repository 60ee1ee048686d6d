"""Errors the user can fix."""


class ModelError(ValueError):
    """Something about a model, its tokens or its training that the user can put right.

    The message is one sentence or two: what is wrong, where, and what to do. The command prints it and exits with 2.
    """
