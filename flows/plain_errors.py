"""Keeps tracebacks out of the log where the error is a sentence for the user.

Prefect logs a failed task and every flow above it with a traceback each; a mistyped path would drown in them.
"""

import logging


class _WithoutTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        from nr_core.errors import ModelError
        from storage.errors import InputError

        if record.exc_info and isinstance(record.exc_info[1], InputError | ModelError):
            record.exc_info = None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_WithoutTraceback())
