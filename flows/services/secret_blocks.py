"""Secrets of a flow (S3 keys, a hub token): from the environment, or from Prefect's Secret blocks into it.

A config names blocks, never values; what is in the environment already counts more than a block.
"""

import os
from typing import cast

from flows.config.study import Config
from storage.errors import InputError


def take_secrets(config: Config) -> None:
    """Fill the environment variables that `secret_blocks` names.

    Raises:
        InputError: there is no such block.
    """
    for variable, name in config.secret_blocks.items():
        if variable in os.environ:
            continue
        from prefect.blocks.system import Secret

        try:
            block = cast("Secret[str]", Secret.load(name))
            os.environ[variable] = block.get()
        except ValueError:
            raise InputError(
                f"`secret_blocks.{variable}`: Prefect has no Secret block {name!r}; make it in the UI under Blocks, "
                f"or set {variable} in the environment"
            ) from None
