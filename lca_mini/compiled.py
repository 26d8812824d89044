"""What the numba kernels of several rooms share: how they are compiled, and the threads that run them.

Enters: Python functions. Leaves: compiled ones that release the GIL, and `share`, which runs them on plain Python
threads, so that a forked process may use them too. Compiled code is cached beside its module, or where
NUMBA_CACHE_DIR says. No part of the paper.
"""

from __future__ import annotations

import functools
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.njit` with a cache on disk where one can be written; numba refuses to decorate where none can."""
    from numba import njit

    try:
        return njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function)
    except RuntimeError:
        return njit(nogil=True, fastmath=True, error_model="numpy")(function)


def share(work: Callable[[int], None], items: int, threads: int) -> None:
    """Call `work(i)` for i in 0:items; whichever thread is free, the caller's too, takes the next."""
    tickets = itertools.count()

    def take() -> None:
        while (item := next(tickets)) < items:
            work(item)

    helpers = _helpers(os.getpid(), threads - 1) if threads > 1 else None
    futures = [helpers.submit(take) for _ in range(min(threads, items) - 1)] if helpers else []
    try:
        take()
    finally:
        for future in futures:
            if not future.cancel():  # one that has not started has nothing left to do
                future.result()


@functools.lru_cache(maxsize=1)
def _helpers(process: int, threads: int) -> ThreadPoolExecutor:
    """Idle threads kept between calls; a forked process, whose copies of them are dead, gets its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="lca_mini")
