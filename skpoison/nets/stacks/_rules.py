"""Which nets may be stacked, and where a stack is faster.

Each ``reason_of_...`` returns why a net is left alone, in words that end a sentence, or None.
"""

import math

import numpy as np
import torch
from sklearn.base import clone
from skorch.dataset import Dataset
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from ..._deterministic import deterministic
from .._batches import TensorBatches
from .._callbacks import reason_of_callback
from .._classifier import NetClassifier
from .._linear_chains import ALIGNED, have_hooks
from .._overrides import has_methods_of_its_own
from .._steps import check_logits

# Measured on 2 cores (benchmarks/README.md). A stack is fast while its step fits into the cache.
# For a linear chain, MAX_NUMBERS limits the floats that a step touches: all parameters, and the
# units of all rows of a batch. Other modules run by `torch.func.vmap`, which is no faster above
# MAX_PARAMETERS.
MAX_NUMBERS = 2_000_000
MAX_PARAMETERS = 30_000
MIN_NETS = 3
# If fewer than MIN_ROOM nets fit into the cache together, arithmetic takes most of the time, and a
# stack saves little.
MIN_ROOM = 8
MAX_ROWS = 64


def is_worth_a_stack(net, shape, classes, n_nets, *, force=False):
    """Whether a stack of n nets like this one is possible, and faster than fits one by one.

    Looks at settings, module and sizes. `fit_many` also asks for batches, callbacks and vmap.

    Parameters
    ----------
    net : estimator
        Any estimator; left as it is.
    shape : tuple of int
        Shape of the rows, their number first.
    classes : ndarray of shape (n_classes,)
        The labels.
    n_nets : int
        How many of a kind there are.
    force : bool, default=False
        Whether to ask if a stack is possible, even where it would not be faster.
    """
    net = begun_like(net, shape[1:], classes)
    if net is None:
        return False
    reason = None if force else reason_of_size(net, n_nets, shape[0])
    return reason_of_module(net) is None and reason is None


def begun_like(net, row_shape, classes):
    """Return an initialised clone of a net for such data, or None if a stack refuses the net."""
    if type(net) is not NetClassifier or reason_of_settings(net) is not None:
        return None
    net = clone(net).set_params(random_state=0)
    try:
        return net.initialize_for(row_shape, classes)
    except Exception:
        return None  # The fit itself will say what is wrong.


def reason_of_settings(net):
    """Return why the parameters of a net keep it out of a stack, or None."""
    if type(net) is not NetClassifier:
        return f"{type(net).__name__} may train in its own way"
    if has_methods_of_its_own(net):
        return "a method of the net is replaced"
    if net.criterion is not nn.CrossEntropyLoss or net.get_params_for("criterion"):
        return "the loss is not the plain cross-entropy"
    if net.optimizer is not torch.optim.SGD:
        return "the optimiser is not SGD"
    if net.get_params_for("optimizer").keys() - _SGD:
        return "SGD has options that a stack does not know"
    if net.iterator_train is not TensorBatches or net.get_params_for("iterator_train"):
        return "`iterator_train` is not the default"
    if net.dataset is not Dataset or net.get_params_for("dataset"):
        return "`dataset` is not the default"
    if net.train_split is not None or net.warm_start or net.compile:
        return "`train_split`, `warm_start` or `compile` is set"
    return None


_SGD = {"lr", "momentum", "weight_decay", "dampening", "nesterov"}


def reason_of_callbacks(net, seen):
    """Return why the callbacks of a net keep it out of a stack, or None.

    The net has begun, so that its callbacks exist.

    `seen` collects the identities of callbacks: one that several nets share would count the epochs
    of all.
    """
    for name, callback in net.callbacks_:
        reason = reason_of_callback(name, callback)
        if reason is not None:
            return reason
        if id(callback) in seen:
            return "nets share a callback"
        seen.add(id(callback))
    return None


def reason_of_module(net):
    """Return why the module of an initialised net keeps it out of a stack, or None."""
    if any(isinstance(layer, (_DropoutNd, _NormBase)) for layer in net.module_.modules()):
        return "the module has dropout or batch normalisation"
    if any(have_hooks(parameter) for parameter in net.module_.parameters()):
        return "a parameter has hooks"
    return None


def reason_of_batches(net, n_rows):
    size = rows_in_batch(net, n_rows)
    # With fewer rows than `batch_size`, a batch has all rows of its net. Other nets rarely have as
    # many, so that few could be stacked. We try it for small batches only.
    if (size < net.batch_size and size > MAX_ROWS) or (n_rows % size and not net.drop_last):
        return "not all batches are full ones"
    return None


def rows_in_batch(net, n_rows):
    """Rows in a full batch; if there are fewer rows than `batch_size`, all rows are one batch."""
    return n_rows if net.batch_size == -1 else min(net.batch_size, n_rows)


def reason_of_size(net, n_nets, n_rows):
    """Return why a stack would not be faster, or None. The rule looks at sizes alone."""
    if n_nets < MIN_NETS:
        return f"{n_nets} of a kind is too few"
    if net.device_.type != "cpu":
        return None
    if any(isinstance(layer, _ConvNd) for layer in net.module_.modules()):
        return "convolutions are slower in a stack on a CPU"
    if most_nets(net, n_rows) < MIN_ROOM:
        return f"{MIN_ROOM} nets of this size and their batches are too large for the cache"
    is_chain = net.linear_chain() is not None
    if not is_chain and _n_parameters(net) > MAX_PARAMETERS:
        return f"over {MAX_PARAMETERS} parameters, arithmetic dominates on a CPU"
    size = rows_in_batch(net, n_rows)
    shapes = [p.shape for p in net.module_.parameters() if p.ndim > 1]
    if not is_chain and any(n % ALIGNED for n in (size, *map(math.prod, shapes))):
        return "rounding would depend on the other nets: sizes do not fill lines of the cache"
    return None


def most_nets(net, n_rows):
    """Return how many nets like this one still make a fast stack."""
    chain = net.linear_chain()
    if net.device_.type != "cpu" or chain is None:
        return math.inf
    size = rows_in_batch(net, n_rows)
    n_units = sum(len(net.module_.get_parameter(weight)) for weight, _, _ in chain)
    return max(2, MAX_NUMBERS // (_n_parameters(net) + size * (n_units + net.n_features_in_)))


def _n_parameters(net):
    return sum(parameter.numel() for parameter in net.module_.parameters())


def reason_of_vmap(net, training):
    """Return why `torch.func.vmap` refuses the module, or None. It is tried on two rows."""
    stack = {name: value[None] for name, value in tensors_of(net.module_).items()}

    def forward(parameters, rows):
        return torch.func.functional_call(net.module_, parameters, (rows,))

    try:
        with deterministic(net.device_):
            torch.func.vmap(forward)(stack, training.X.X[None, :2].clone())
    except Exception as error:
        return f"vmap does not take the module: {error}"
    return None


def tensors_of(module):
    """Copies of the parameters and buffers of a module, by name."""
    named = (*module.named_parameters(), *module.named_buffers())
    return {name: value.detach().clone() for name, value in named}


def reason_of_forward(first, net, training):
    """Return why two modules differ in more than their parameters and buffers, or None.

    The module of the first net, given the tensors of the second, must compute the same, and leave
    the buffers as they are.
    """
    rows = training.X.X[:2]
    tensors = tensors_of(net.module_)
    with torch.no_grad(), deterministic(net.device_):
        stacked = torch.func.functional_call(first.module_, tensors, (rows.clone(),))
        if not all(torch.equal(tensors[name], own) for name, own in net.module_.named_buffers()):
            return "the module changes its buffers"
        own = net.module_(rows.clone())
    if isinstance(own, tuple):
        own, stacked = own[0], stacked[0]
    check_logits(own, len(net.classes_))
    # The same operations on the same numbers.
    return None if torch.equal(own, stacked) else "the modules differ in more than parameters"


def architecture(net, n_rows):
    """Return what the nets of one stack must have in common, as a key."""
    module = net.module_
    options = {**net.optimizer_.param_groups[0]}
    options.pop("params")
    options.pop("lr")
    arguments = net.get_params_for("module")
    return (
        type(module),
        repr(module),
        tuple((name, _value(value)) for name, value in sorted(arguments.items())),
        tuple(
            (name, parameter.shape, parameter.dtype, parameter.requires_grad)
            for name, parameter in (*module.named_parameters(), *module.named_buffers())
        ),
        tuple((name, _value(value)) for name, value in sorted(options.items())),
        net.device_,
        rows_in_batch(net, n_rows),
        net.max_epochs,
        net.row_shape(),
    )


def _value(value):
    return (value.dtype.str, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)
