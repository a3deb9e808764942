"""Which devices there are."""

import torch

from .compiled import DEVICE_COUNT, current_device


def canonical(device):
    """The device with its index, as torch.device; an int is an index."""
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if device.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {device}")
    index = current_device() if device.index is None else device.index
    if index >= DEVICE_COUNT:
        raise RuntimeError("CUDA error: invalid device ordinal")
    return torch.device("cuda", index)
