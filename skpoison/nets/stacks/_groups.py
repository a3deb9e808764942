"""Sort nets by architecture; stack the groups that can be stacked, fit the other nets alone."""

import itertools
import math

import numpy as np
import torch
from skorch.utils import is_dataset

from ..._validation import check_choice
from .._batches import has_names
from .._classifier import NetClassifier
from ._rules import (
    architecture,
    most_nets,
    reason_of_batches,
    reason_of_callbacks,
    reason_of_forward,
    reason_of_module,
    reason_of_settings,
    reason_of_size,
    reason_of_vmap,
)
from ._stack import Member, Stack


def fit_stacked(nets, data, fused, verbose=0, reason_of=lambda net: None):
    """Do what `fit_many` documents.

    `reason_of` takes a net that has begun. It returns a further reason to fit it alone, or None.
    """
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
            reason = "`fused` is False" if fused is False else reason_of_settings(net)
            if reason is None and is_dataset(part[0]):
                reason = "the data are a Dataset"
            if reason is None and has_names(part[0]):
                reason = "the data are a dict"
            if reason is not None:
                alone.setdefault(reason, []).append((net.fit, part))
                continue
            waiting[id(net)] = net, dict(vars(net))
            training = net.begin_training(*part)
            rows = training.X
            _share(rows, (id(part[0]), net.input_shape_), shared)
            reason = (
                reason_of_callbacks(net, seen)
                or reason_of_module(net)
                or reason_of_batches(net, len(rows))
                or reason_of(net)
            )
            if reason is None:
                groups.setdefault(architecture(net, len(rows)), []).append((net, training))
            else:
                alone.setdefault(reason, []).append((net.run_training, (training,)))
        for group in groups.values():
            first, training = group[0]
            n_rows = len(training.X)
            reason = reason_of_size(first, len(group), n_rows) if fused == "auto" else None
            reason = reason or reason_of_vmap(first, training)
            members = []
            for net, training in group:
                own = reason or reason_of_forward(first, net, training)
                if own is None:
                    members.append(Member(net, training))
                else:
                    alone.setdefault(own, []).append((net.run_training, (training,)))
            for stack in cut(members, most_nets(first, n_rows)):
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
        # Nets that have begun and were not trained get their former state back.
        for net, before in waiting.values():
            net.__dict__.clear()
            net.__dict__.update(before)
        raise
    return nets


def _share(dataset, key, shared):
    """Let nets that were given the same array share one tensor."""
    X = shared.setdefault(key, dataset.X)
    # With early stopping each net holds out different rows, so that tensors of one array differ.
    is_alike = (X.shape, X.dtype, X.device) == (dataset.X.shape, dataset.X.dtype, dataset.X.device)
    if is_alike and torch.equal(X, dataset.X):
        dataset.X = X


def cut(members, most):
    """Cut members, sorted by their number of batches, into stacks of about equal size."""
    members = sorted(members, key=lambda member: -member.n_batches)
    n_stacks = math.ceil(len(members) / min(most, len(members))) if members else 0
    bounds = [len(members) * k // n_stacks for k in range(n_stacks + 1)] if members else []
    return [members[start:end] for start, end in itertools.pairwise(bounds)]
