"""Copies between the CPU and a device, of several tensors at once: each makes the CPU wait.

They go as bytes, because a device may have no dtype that holds the values of all.
"""

import torch


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
    if not tensors:
        return [[] for _ in groups]
    here = iter(_copied(tensors, torch.device("cpu")))
    return [[next(here).tolist() for _ in group] for group in groups]


def send(tensors, device):
    """Return tensors of the CPU as tensors on a device, by a single copy to it."""
    return _copied(tensors, device)


def _copied(tensors, device):
    if len(tensors) == 1 or tensors[0].device == device:
        return [tensor.to(device) for tensor in tensors]
    parts = [tensor.detach().reshape(-1).contiguous().view(torch.uint8) for tensor in tensors]
    # CUDA reads ordinary memory before the call returns, and does not wait for earlier work.
    there = torch.cat(parts).to(device, non_blocking=device.type == "cuda")
    # Clones, because a number must begin at a multiple of its size.
    parts = zip(there.split([len(part) for part in parts]), tensors, strict=True)
    return [part.clone().view(tensor.dtype).reshape(tensor.shape) for part, tensor in parts]
