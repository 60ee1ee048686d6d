"""The one error a user is meant to read."""


class InputError(ValueError):
    """Bad input or configuration. The message is one sentence: what is wrong, where, and what to do."""
