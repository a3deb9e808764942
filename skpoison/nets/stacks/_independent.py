"""Nets whose weights do not depend, bit for bit, on the nets that are trained beside them."""

import numpy as np
import torch

from ._groups import fit_stacked
from ._rules import begun_like


def is_independent_in_a_stack(net, row_shape):
    """Whether the weights of a stacked net would not depend, bit for bit, on the other nets.

    The answer depends on the parameters of the net and on the shape of a row, and not on data. We
    ask it for a net of two classes; `fit_independent` asks again with the net's real classes.

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
    """Fit nets as `fit_many` does, but fit a net alone if its bits would depend on the others.

    Each net is asked, because a module can differ with the number of classes or the seed.
    """
    return fit_stacked(nets, data, True, reason_of=_reason_of_rounding)


def _reason_of_rounding(net):
    """Return why the bits of a net that has begun would depend on the other nets, or None.

    Linear chains in float32 on the CPU are independent: a stack aligns their matrices in memory.
    """
    is_float = next(net.module_.parameters()).dtype == torch.float32
    is_known = net.device_.type == "cpu" and net.batch_size >= 1 and is_float
    if is_known and net.linear_chain() is not None:
        return None
    return "its rounding may depend on the other nets"
