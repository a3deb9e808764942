"""Words for a GPU that is out of memory."""

from contextlib import contextmanager
from numbers import Integral

import torch


@contextmanager
def memory_in_words(net):
    """Say which parameters of a net to reduce, where its training runs out of memory."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        sizes = {"batch_size": net.batch_size}
        for name, value in net.get_params_for("module").items():
            if isinstance(value, Integral) and not isinstance(value, bool):
                sizes[f"module__{name}"] = value
        names = " or ".join(f"`{name}` (now {value})" for name, value in sizes.items())
        raise torch.cuda.OutOfMemoryError(
            f"{net.device} has too little memory for this net, its batches and its data: lower "
            f"{names}, or give fewer rows. {error}"
        ) from error
