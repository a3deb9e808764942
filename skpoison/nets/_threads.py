"""One number of threads for all fits of a study."""

import threading
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread():
    """Compute with one thread in the block: sums in another order give other bits.

    The number of threads is restored after the block, except in a thread that is not the main one:
    some libraries have one number for the process, and another thread may be in its own block.
    """
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                torch.set_num_threads(before)
