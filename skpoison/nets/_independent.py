"""Which nets have the same bits whatever other nets `fit_many` trains beside them."""

import numpy as np
import torch

from ._many import begun_like


def is_independent_in_a_stack(net, row_shape):
    """Whether the bits of a net that `fit_many` stacks do not depend on the other nets.

    Known of chains of linear layers and ReLUs on the CPU, whose matrices a stack aligns. A property
    of the net's parameters and the shape of rows: the answer does not look at data.

    Parameters
    ----------
    net : estimator
        Any estimator; left as it is.
    row_shape : tuple of int
        Shape of a row.
    """
    net = begun_like(net, row_shape, np.arange(2))
    if net is None or net.device_.type != "cpu" or net.batch_size < 1:
        return False
    is_float = next(net.module_.parameters()).dtype == torch.float32
    return is_float and net._chain() is not None
