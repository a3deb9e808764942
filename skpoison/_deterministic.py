"""The same bits twice on one GPU: kernels that add up in a fixed order.

Many CUDA kernels add up in the order in which threads happen to finish, and cuDNN may choose the
algorithm of a convolution by timing it. Torch can do without both, by switches of the process.
"""

import os
from contextlib import nullcontext
from typing import NamedTuple

import torch

from ._switches import Switch

_WARN = 1


def _prepare_products():
    """Let torch before 2.10 accept matrix products as deterministic, as later versions do.

    Torch reads the variable below at the first matrix product of the process on a GPU. If the
    variable has another value, torch refuses matrix products in deterministic mode. The order of
    their sums is fixed anyway, because torch gives each stream a workspace of its own:
    https://github.com/pytorch/pytorch/pull/161749
    """
    if torch.version.cuda is not None and torch.__version__ < (2, 10):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


_prepare_products()


class _Switches(NamedTuple):
    """Torch's switches. `cudnn.deterministic` is not among them, because the mode implies it."""

    mode: int
    benchmark: bool
    fills_memory: bool

    @classmethod
    def read(cls):
        return cls(
            torch.get_deterministic_debug_mode(),
            torch.backends.cudnn.benchmark,
            torch.utils.deterministic.fill_uninitialized_memory,
        )

    def write(self):
        # `torch.use_deterministic_algorithms` sets the same mode, but imports a compiler first.
        torch.set_deterministic_debug_mode(self.mode)
        torch.backends.cudnn.benchmark = self.benchmark
        torch.utils.deterministic.fill_uninitialized_memory = self.fills_memory

    def made_deterministic(self):
        if self.mode:  # The user's own mode, which may be stricter.
            return self._replace(benchmark=False)
        # Filling new memory takes a kernel for each tensor, and only helps to find faults.
        return _Switches(_WARN, benchmark=False, fills_memory=False)


def _set_deterministic(_):
    before = _Switches.read()
    before.made_deterministic().write()
    return before.write


_DETERMINISTIC = Switch(_set_deterministic)


def deterministic(device):
    """Compute with deterministic kernels in the block, if `device` is a CUDA device.

    The same input then gives the same bits, on one kind of GPU with one version of torch and CUDA.
    If an operation has no deterministic kernel, torch warns and names it. The switches hold for the
    whole process. They are put back when the last thread leaves such a block.

    `index_put_`, `index_add_`, `index_copy_` and `scatter_add_` sort in the block, and in many
    versions of torch they wait for the GPU. So our own training steps do without them.

    Parameters
    ----------
    device : str or torch.device
        Where the block computes.

    Returns
    -------
    block : context manager
    """
    if torch.device(device).type != "cuda":
        return nullcontext()
    return _DETERMINISTIC.at(True)
