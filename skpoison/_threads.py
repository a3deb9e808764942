"""One thread for all fits of a study: with more, sums are rounded in another order."""

from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread():
    """Compute with one thread in the block, and restore torch's number of threads after it.

    This is for the process that runs a study. Its worker threads need `threadpool_limits` of their
    own, because OpenMP keeps a limit for each thread. They must not set torch's number: that also
    changes MKL's, which is one for the whole process, while other threads are computing.
    """
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
