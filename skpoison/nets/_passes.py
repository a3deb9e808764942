"""What a pass over data measures, and how it reaches the CPU: all numbers in one copy."""

from dataclasses import dataclass

import torch


@dataclass
class Pass:
    """A pass over training or validation data, measured and not yet read from the device.

    Attributes
    ----------
    prefix : {"train", "valid"}
        What its names in the history begin with.
    sizes : list of int
        Rows in each batch.
    tensors : list of Tensor
        The mean loss of each batch, (n_batches,), and in validation the number of rows whose class
        was predicted, ().
    keeps_batches : bool
        Whether the history gets the loss of each batch.
    """

    prefix: str
    sizes: list
    tensors: list
    keeps_batches: bool


def read(groups):
    """Return the values of tensors on one device, by a single copy from it.

    Parameters
    ----------
    groups : list of list of Tensor
        Tensors of any shapes and dtypes.

    Returns
    -------
    values : list of list
        For each tensor what its `tolist` returns.
    """
    tensors = [tensor for group in groups for tensor in group]
    if len(tensors) < 2 or tensors[0].device.type == "cpu":
        return [[tensor.tolist() for tensor in group] for group in groups]
    # As bytes, because a device may have no dtype that holds the values of all.
    parts = [tensor.reshape(-1).contiguous().view(torch.uint8) for tensor in tensors]
    parts = iter(torch.cat(parts).cpu().split([len(part) for part in parts]))
    # Clones, because a float must begin at a multiple of its size.
    return [
        [next(parts).clone().view(x.dtype).reshape(x.shape).tolist() for x in group]
        for group in groups
    ]
