"""Nets that have the same bits whatever other nets are trained beside them."""

import numpy as np
import torch

from ._groups import fit_stacked
from ._rules import begun_like


def is_independent_in_a_stack(net, row_shape):
    """Whether the bits of a net that is stacked would not depend on the other nets.

    A property of the net's parameters and the shape of rows: the answer does not look at data, and
    is that for two classes.

    Parameters
    ----------
    net : estimator
        Any estimator; left as it is.
    row_shape : tuple of int
        Shape of a row.
    """
    net = begun_like(net, row_shape, np.arange(2))
    return net is not None and _reason_of_rounding(net) is None


def fit_independent(nets, data):
    """Fit nets as `fit_many` does, and leave those alone whose bits would depend on the others.

    A module may be another for other classes, or another seed: each net is asked.
    """
    return fit_stacked(nets, data, True, reason_of=_reason_of_rounding)


def _reason_of_rounding(net):
    """Why the bits of a net that has begun would depend on those beside it, or None.

    They do not for chains of linear layers and ReLUs on the CPU, whose matrices a stack aligns.
    """
    is_float = next(net.module_.parameters()).dtype == torch.float32
    is_known = net.device_.type == "cpu" and net.batch_size >= 1 and is_float
    if is_known and net.linear_chain() is not None:
        return None
    return "its rounding may depend on the other nets"
