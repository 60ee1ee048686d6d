"""Prefect flows over the other rooms, deployments, the command line `nr` and the report.

The only room that knows Prefect, and the only one that knows the others. `config` is the one tree of settings;
`extend_language` reads like the recipe: data, corpora, base, training, evaluation, report.
"""

import flows.plain_errors
import flows.quiet_exit  # noqa: F401
