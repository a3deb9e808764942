"""One number of threads for all fits of a study: sums in another order give other bits."""

from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread():
    """Compute with one thread in the block, and restore torch's number of threads after it.

    For the process that runs a study. What it starts needs `threadpool_limits` besides: OpenMP has
    a number for each thread. Only here is torch's own number set, because with it goes one that MKL
    has for the whole process, and another thread may be in the middle of its sums.
    """
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
