"""A process that nobody waits for any more ends itself."""

import os
import threading
import time

PARENT_POLL_SECONDS = 1.0


def exit_with_parent(parent: int) -> None:
    """End this process at once, from a thread in the background, when process `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
