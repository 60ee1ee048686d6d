"""Errors the user can fix."""


class InputError(ValueError):
    """Bad input or configuration. The message is one sentence: what is wrong, where, and what to do."""
