"""Which nets have the same bits whatever other nets `fit_many` trains beside them."""

import math

import numpy as np
import torch
from sklearn.base import clone

from ._classifier import NetClassifier
from ._dense import chain_of
from ._many import _reason_of_settings

# Floats in the 64 bytes to which MKL aligns: a matrix that begins elsewhere is summed in another
# order, and where it begins in a stack depends on the nets before it.
ALIGNED = 16


def is_independent_in_a_stack(net, row_shape):
    """Whether the bits of a net that `fit_many` stacks do not depend on the other nets.

    Known of chains of linear layers and ReLUs on the CPU, if every matrix of a step fills whole
    cache lines, for any number of classes. A property of the net's parameters and the shape of
    rows: the answer does not look at data.

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
    chain = chain_of(net.module_, net._row_shape())
    if chain is None or net.device_.type != "cpu" or net.batch_size % ALIGNED or net.batch_size < 1:
        return False
    if next(net.module_.parameters()).dtype != torch.float32:
        return False
    weights = [net.module_.get_parameter(weight) for weight, _, _ in chain]
    hidden = [len(weight) for weight in weights[:-1]]
    # The last layer has as many rows as there are classes: its columns must fill lines.
    return not any(size % ALIGNED for size in [*hidden, weights[-1].shape[1]])
