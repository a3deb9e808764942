"""How many nets the free memory of a GPU holds."""

import math

import torch
from torch.autograd.graph import saved_tensors_hooks

from ..._deterministic import deterministic
from ..._switches import full_precision
from ._rules import rows_in_batch

# A stack copies the parameters of its nets. A step needs gradients and a momentum, a capture a copy
# to go back to, early stopping one of the best epoch, and a net that is alone in a stack two.
N_COPIES = 6
# The backward pass needs a gradient for what the forward pass has kept, and both need a scratch.
N_ACTIVATIONS = 3
# The sizes above are estimates. What torch takes for its libraries is not among them.
SHARE = 0.8


def free_bytes(device):
    """Return the memory that torch may still use on a GPU; infinite where torch cannot tell."""
    if device.type != "cuda":
        return math.inf
    try:
        free, _ = torch.cuda.mem_get_info(device)
        # Torch keeps what its tensors have left, and uses it again.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    except AttributeError:  # A torch that was built without CUDA's runtime.
        return math.inf


def most_that_fit(group, free):
    """Return how many nets of one architecture a stack may have in the memory of their device.

    Parameters
    ----------
    group : list of tuple (NetClassifier, Training)
        Nets that have begun, so that they and their own data are in memory already.
    free : float
        Bytes that are free.
    """
    net, training = group[0]
    if free == math.inf:
        return math.inf
    parameters = sum(t.nbytes for t in (*net.module_.parameters(), *net.module_.buffers()))
    # A stack copies rows, those that nets share once.
    rows = {id(training.X.X): training.X.X.nbytes for _, training in group}
    data = sum(rows.values()) / len(group)
    row = training.X.X[0].nbytes + _kept_bytes(net, training)
    batch = rows_in_batch(net, len(training.X)) * row
    return int(SHARE * free / (data + N_COPIES * parameters + N_ACTIVATIONS * batch))


def _kept_bytes(net, training):
    """Return how much memory of a row the forward pass keeps for the backward pass."""
    kept = [0, 0]
    for k in range(2):

        def count(tensor, k=k):
            kept[k] += tensor.nbytes  # Not returned: with itself, an output would never be freed.

        keeping = saved_tensors_hooks(count, lambda packed: packed)
        with keeping, full_precision(net.device_), deterministic(net.device_):
            net.module_(training.X.X[: k + 1].clone())
    # Parameters are kept too, whatever the number of rows.
    return kept[1] - kept[0]
