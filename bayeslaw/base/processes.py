"""Processes that do not outlive the one that started them."""

import os
import threading
import time

__all__ = ["end_with"]

SECONDS = 0.5
"""Between two looks at the parent."""


def end_with(parent: int) -> None:
    """End this process soon after its parent, given by its id, has ended in any way, killed included."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
