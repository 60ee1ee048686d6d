"""Which version of each corpus a flow uses when it is not told."""

from flows.config.study import Config
from pipelines.denylist import refuse_taken_down, take_over_deny_list
from storage.errors import InputError
from storage.workspace import Workspace


def current_versions(config: Config) -> dict[str, str]:
    """Return the published version of every corpus of the config.

    Raises:
        InputError: a corpus has never been published, or has pages of a host that was taken down.
    """
    workspace = Workspace(config.workspace)
    take_over_deny_list(workspace)
    return {name: published_version(name, workspace) for name in config.corpora}


def published_version(name: str, workspace: Workspace) -> str:
    """Return the version of a corpus that is in use. Raises as `current_versions`."""
    version = workspace.current_version(name)
    if version is None:
        raise InputError(f"corpus {name} is not in workspace {workspace.root}: run `nr refresh CONFIG` first")
    refuse_taken_down(name, version, workspace)
    return version
