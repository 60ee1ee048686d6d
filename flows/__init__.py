"""Prefect flows over the other packages, deployments, the command line `nr` and the report.

    extend_language     the whole way: data, corpora, base, training, evaluation, report
    data_refresh, train, evaluate, sweep, backfill, train_on_new_text     its parts, each a flow of its own
    steps/         what flows share: a thin call of pipelines or nr_core each
    config/        the one tree of settings: from YAML, flow parameters, Prefect's form
    cli/           `nr`
    report/        one HTML file with what was learned and what was forgotten
    services/      Prefect's server and its access, served reports, doctor
    maintenance/   gc, verify, forget, rollback, inspect

The only package that knows Prefect, and the only one that knows the others.
"""

import flows.plain_errors  # noqa: F401  (keeps DuckDB quiet at exit)
from flows.former_names import FORMER_NAMES
from storage.former_names import keep_old_names

keep_old_names(FORMER_NAMES)
