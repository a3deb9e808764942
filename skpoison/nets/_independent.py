"""Which nets have the same bits whatever other nets `fit_many` trains beside them."""

import math

import numpy as np
import torch
from sklearn.base import clone

from ._classifier import NetClassifier
from ._dense import chain_of
from ._many import _reason_of_settings


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
    if type(net) is not NetClassifier or _reason_of_settings(net) is not None:
        return False
    net = clone(net).set_params(random_state=0)
    net.input_shape_ = tuple(row_shape)
    net.n_features_in_ = math.prod(net.input_shape_)
    net.classes_inferred_ = np.arange(2)
    try:
        net.initialize()
    except Exception:
        return False  # The fit itself will say what is wrong.
    if net.device_.type != "cpu" or net.batch_size < 1:
        return False
    is_float = next(net.module_.parameters()).dtype == torch.float32
    return is_float and chain_of(net.module_, net._row_shape()) is not None
