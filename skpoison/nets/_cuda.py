"""For CUDA only: full precision."""

from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device):
    """Compute convolutions on CUDA with the precision of matrix products, and restore the setting.

    By default, PyTorch rounds the inputs of convolutions to TF32 (10 bits), but not those of matrix
    products. Set ``torch.backends.cuda.matmul.allow_tf32 = True`` to round both.
    """
    if not str(device).startswith("cuda"):
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
