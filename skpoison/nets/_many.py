import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from skorch.utils import is_dataset
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from .._validation import check_choice
from ._batches import TensorBatches
from ._callbacks import reason_of_callback
from ._classifier import NetClassifier
from ._dense import ALIGNED, have_hooks
from ._stack import Member, Stack

# Measured on 2 cores (benchmarks/README.md): what a stack works on in a step must fit in the cache,
# or it waits for memory. For chains of layers that are parameters and units of a batch; past the
# other number of parameters what `torch.func.vmap` makes of a module is no faster.
MAX_NUMBERS = 2_000_000
MAX_PARAMETERS = 30_000
MIN_NETS = 3
# A stack with room for fewer is mostly arithmetic, and threads share a few nets badly.
MIN_ROOM = 8
MAX_ROWS = 64


def fit_many(
    nets: Sequence[NetClassifier],
    data: Sequence[Any],
    *,
    fused: bool | str = "auto",
    verbose: int = 0,
) -> Sequence[NetClassifier]:
    """Fit several nets, those of one architecture together, each as if it were fitted alone.

    A stack of nets takes its steps by batched operations, which for small nets takes a fraction of
    the time: most of the time of a small step goes into starting it. Each net has its own data,
    seed, initialisation, order of batches, validation data and callbacks. But for rounding it
    becomes what `NetClassifier.fit` makes of it, whatever the others are; and where it is stacked
    as a chain of linear layers and ReLUs trained by plain SGD, its rounding does not depend on them
    either.

    Parameters
    ----------
    nets : list of NetClassifier
        The nets, fitted in place. They may differ: each group of equal architecture and training is
        stacked.
    data : list of tuple
        For each net (X, y), or (X, y, X_val, y_val), as `NetClassifier.fit` takes them.
    fused : {"auto", True, False}, default="auto"
        "auto" stacks where that is faster, by a rule that looks at sizes alone; True wherever it
        is possible; False nowhere.
    verbose : int, default=0
        Whether to print why nets were fitted one by one.

    Returns
    -------
    nets : list of NetClassifier
        The given nets.

    Raises
    ------
    ValueError
        If there is not one tuple of data for each net, or a net refuses its data.

    Notes
    -----
    Fitted one by one are: subclasses of `NetClassifier`, other losses than cross-entropy, other
    optimisers than SGD, modules with buffers or dropout, or that `torch.func.vmap` does not take,
    callbacks other than `EarlyStopping` and `LRScheduler`, data in other batches than full ones
    (fewer rows than a batch are one, up to 64).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, NetClassifier
    >>> from skpoison.nets import fit_many
    >>> X, y = load_digits(return_X_y=True)
    >>> nets = [NetClassifier(MLP, module__width=8, random_state=seed) for seed in range(5)]
    >>> [net.classes_.size for net in fit_many(nets, [(X / 16, y)] * 5)]
    [10, 10, 10, 10, 10]
    """
    return fit_stacked(nets, data, fused, verbose)


def fit_stacked(nets, data, fused, verbose=0, reason_of=lambda net: None):
    """What `fit_many` does; `reason_of` may give another why a net that has begun is left alone."""
    nets, data = list(nets), list(data)
    if len(nets) != len(data):
        raise ValueError(f"`data` must have a tuple for each of {len(nets)} nets, got {len(data)}")
    for part in data:
        if not isinstance(part, (tuple, list)) or len(part) not in (1, 2, 4):
            size = f" of length {len(part)}" if isinstance(part, (tuple, list)) else ""
            raise ValueError(
                "`data` must have tuples (X, y), (X, y, X_val, y_val) or (Dataset,), got a "
                f"{type(part).__name__}{size}"
            )
    if not all(isinstance(net, NetClassifier) for net in nets):
        raise TypeError("`nets` must be instances of NetClassifier, got others")
    if len({id(net) for net in nets}) < len(nets):
        raise ValueError("`nets` must be different objects, got one of them twice")
    fused = bool(fused) if isinstance(fused, np.bool_) else fused
    if not isinstance(fused, bool):
        check_choice(fused, "fused", ("auto",))
    groups, alone, shared, waiting = {}, {}, {}, {}
    seen = set()
    try:
        for net, part in zip(nets, data, strict=True):
            reason = "`fused` is False" if fused is False else _reason_of_settings(net)
            if reason is None and is_dataset(part[0]):
                reason = "the data are a Dataset"
            if reason is not None:
                alone.setdefault(reason, []).append((net.fit, part))
                continue
            waiting[id(net)] = net, dict(vars(net))
            begun = net._begin(*part)
            _share(begun[0], (id(part[0]), net.input_shape_), shared)
            reason = (
                _reason_of_callbacks(net, seen)
                or _reason_of_module(net)
                or _reason_of_batches(net, len(begun[0]))
                or reason_of(net)
            )
            if reason is None:
                groups.setdefault(_architecture(net, len(begun[0])), []).append((net, begun))
            else:
                alone.setdefault(reason, []).append((net._run, begun))
        for group in groups.values():
            net, (X, _, _) = group[0]
            reason = _reason_of_size(net, len(group), len(X)) if fused == "auto" else None
            reason = reason or _reason_of_vmap(net, X)
            members = []
            for member in group:
                own = reason or _reason_of_forward(net, *member)
                if own is None:
                    members.append(member)
                else:
                    alone.setdefault(own, []).append((member[0]._run, member[1]))
            members = [Member(net, X, y) for net, (X, y, _) in members]
            for stack in _cut(members, _most_nets(net, len(X))):
                Stack(stack).train()
                for member in stack:
                    waiting.pop(id(member.net))
        for reason, runs in alone.items():
            if verbose:
                print(f"{len(runs)} nets are fitted one by one: {reason}")  # noqa: T201
            for run, arguments in runs:
                run(*arguments)
                waiting.pop(id(run.__self__), None)
    except BaseException:
        # A net that has begun and was not trained is what it was before.
        for net, before in waiting.values():
            net.__dict__.clear()
            net.__dict__.update(before)
        raise
    return nets


def is_worth_a_stack(net, shape, classes, n_nets, *, force=False):
    """Whether `fit_many` would stack n nets like this one, fitted on data of this shape.

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
        Whether to ask only if it is possible.
    """
    net = begun_like(net, shape[1:], classes)
    if net is None:
        return False
    reason = None if force else _reason_of_size(net, n_nets, shape[0])
    return _reason_of_module(net) is None and reason is None


def begun_like(net, row_shape, classes):
    """A clone of a net, with components for such data, or None if it cannot be in a stack."""
    if type(net) is not NetClassifier or _reason_of_settings(net) is not None:
        return None
    net = clone(net).set_params(random_state=0)
    net.input_shape_ = tuple(row_shape)
    net.n_features_in_ = math.prod(net.input_shape_)
    net.classes_inferred_ = classes
    net._from_arrays_ = True
    try:
        return net.initialize()
    except Exception:
        return None  # The fit itself will say what is wrong.


def _share(dataset, key, shared):
    """Let nets that were given the same array hold one tensor of it."""
    X = shared.setdefault(key, dataset.X)
    # Early stopping takes another part of it for each net.
    is_alike = (X.shape, X.dtype, X.device) == (dataset.X.shape, dataset.X.dtype, dataset.X.device)
    if is_alike and torch.equal(X, dataset.X):
        dataset.X = X


def _reason_of_settings(net):
    """Why a net's parameters do not let it into a stack, or None."""
    if type(net) is not NetClassifier:
        return f"{type(net).__name__} may train in its own way"
    if net.criterion is not nn.CrossEntropyLoss or net.get_params_for("criterion"):
        return "the loss is not the plain cross-entropy"
    if net.optimizer is not torch.optim.SGD:
        return "the optimiser is not SGD"
    if net.get_params_for("optimizer").keys() - _SGD:
        return "SGD has options that a stack does not know"
    if net.iterator_train is not TensorBatches or net.get_params_for("iterator_train"):
        return "`iterator_train` is not the default"
    if net.train_split is not None or net.warm_start or net.compile:
        return "`train_split`, `warm_start` or `compile` is set"
    return None


_SGD = {"lr", "momentum", "weight_decay", "dampening", "nesterov"}


def _reason_of_callbacks(net, seen):
    """Why the callbacks of a net that has begun do not, or None.

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


def _reason_of_module(net):
    """Why the module of a net that is initialised does not, or None."""
    if any(True for _ in net.module_.buffers()):
        return "the module has buffers"
    if any(isinstance(layer, (_DropoutNd, _NormBase)) for layer in net.module_.modules()):
        return "the module has dropout or batch normalisation"
    if any(have_hooks(parameter) for parameter in net.module_.parameters()):
        return "a parameter has hooks"
    return None


def _reason_of_batches(net, n_rows):
    size = _batch_size(net, n_rows)
    # Batches of as many rows as a net has fit few others; small ones are worth a stack of few.
    if (size < net.batch_size and size > MAX_ROWS) or (n_rows % size and not net.drop_last):
        return "not all batches are full ones"
    return None


def _batch_size(net, n_rows):
    """Rows in a full batch: fewer rows than asked for are one."""
    return n_rows if net.batch_size == -1 else min(net.batch_size, n_rows)


def _reason_of_size(net, n_nets, n_rows):
    """Why a stack would not be faster, or None: looks at sizes alone."""
    if n_nets < MIN_NETS:
        return f"{n_nets} of a kind is too few"
    if net.device_.type != "cpu":
        return None
    if any(isinstance(layer, _ConvNd) for layer in net.module_.modules()):
        return "convolutions are slower in a stack on a CPU"
    if _most_nets(net, n_rows) < MIN_ROOM:
        return f"{MIN_ROOM} nets of this size and their batches are too large for the cache"
    is_chain = net._chain() is not None
    if not is_chain and _n_parameters(net) > MAX_PARAMETERS:
        return f"over {MAX_PARAMETERS} parameters, arithmetic dominates on a CPU"
    size = _batch_size(net, n_rows)
    shapes = [p.shape for p in net.module_.parameters() if p.ndim > 1]
    if not is_chain and any(n % ALIGNED for n in (size, *map(math.prod, shapes))):
        return "rounding would depend on the other nets: sizes do not fill lines of the cache"
    return None


def _most_nets(net, n_rows):
    """How many nets like this one a stack may hold and be fast."""
    chain = net._chain()
    if net.device_.type != "cpu" or chain is None:
        return math.inf
    size = _batch_size(net, n_rows)
    n_units = sum(len(net.module_.get_parameter(weight)) for weight, _, _ in chain)
    return max(2, MAX_NUMBERS // (_n_parameters(net) + size * (n_units + net.n_features_in_)))


def _cut(members, most):
    """Members in stacks of about equal size, those with most batches together."""
    members = sorted(members, key=lambda member: -member.n_batches)
    n_stacks = math.ceil(len(members) / min(most, len(members))) if members else 0
    bounds = [len(members) * k // n_stacks for k in range(n_stacks + 1)] if members else []
    return [members[start:end] for start, end in itertools.pairwise(bounds)]


def _n_parameters(net):
    return sum(parameter.numel() for parameter in net.module_.parameters())


def _reason_of_vmap(net, X):
    """Why `torch.func.vmap` does not take the module, or None; tried on two rows."""
    stack = {name: value.detach()[None] for name, value in net.module_.named_parameters()}

    def forward(parameters, rows):
        return torch.func.functional_call(net.module_, parameters, (rows,))

    try:
        torch.func.vmap(forward)(stack, X.X[None, :2].clone())
    except Exception as error:
        return f"vmap does not take the module: {error}"
    return None


def _reason_of_forward(first, net, begun):
    """Why the module of the first net is not that of another with other parameters, or None."""
    rows = begun[0].X[:2]
    parameters = dict(net.module_.named_parameters())
    with torch.no_grad():
        own = net.module_(rows.clone())
        stacked = torch.func.functional_call(first.module_, parameters, (rows.clone(),))
    if isinstance(own, tuple):
        own, stacked = own[0], stacked[0]
    net._check_logits(own)
    # The same operations on the same numbers.
    return None if torch.equal(own, stacked) else "the modules differ in more than parameters"


def _architecture(net, n_rows):
    """What nets of one stack have in common."""
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
            for name, parameter in module.named_parameters()
        ),
        tuple((name, _value(value)) for name, value in sorted(options.items())),
        net.device_,
        _batch_size(net, n_rows),
        net.max_epochs,
        net._row_shape(),
    )


def _value(value):
    return (value.dtype.str, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)
