"""Sort nets by architecture; stack the groups that can be stacked, fit the other nets alone."""

import itertools
import math
from collections import deque

import numpy as np
import torch
from skorch.utils import is_dataset

from ..._validation import check_choice
from .._batches import has_names
from .._classifier import NetClassifier
from ._memory import free_bytes, most_that_fit
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

NO_ROOM = "the memory of the GPU has no room for a stack"


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
    todo, seen = deque(zip(nets, data, strict=True)), set()
    while todo:
        _Round(fused, verbose, reason_of, seen).train(todo)
    return nets


class _Round:
    """Nets that are trained at a time. On a GPU their data take up to half of the free memory.

    Parameters
    ----------
    fused, verbose, reason_of
        As in `fit_stacked`.
    seen : set
        Identities of the callbacks of all nets so far.
    """

    def __init__(self, fused, verbose, reason_of, seen):
        self.fused = fused
        self.verbose = verbose
        self.reason_of = reason_of
        self.seen = seen
        self.groups = {}  # Lists of (net, training), by architecture.
        self.alone = {}  # Lists of (function that trains a net, its arguments), by reason.
        self.shared = {}
        self.held = {}  # Bytes of the rows and of the nets that have begun, by identity.
        self.room = {}  # Bytes that each device had for this round.
        self.waiting = {}  # Nets that have begun, with what they were before.

    def train(self, todo):
        """Take nets from the left of `todo`, a deque of (net, data), and train them."""
        try:
            self._begin_some(todo)
            for group in self.groups.values():
                self._train_group(group)
            for reason, runs in self.alone.items():
                if self.verbose:
                    print(f"{len(runs)} nets are fitted one by one: {reason}")  # noqa: T201
                for run, arguments in runs:
                    run(*arguments)
                    self.waiting.pop(id(run.__self__), None)
        except BaseException:
            # Nets that have begun and were not trained get their former state back.
            for net, before in self.waiting.values():
                net.__dict__.clear()
                net.__dict__.update(before)
            raise

    def _begin_some(self, todo):
        while todo:
            net, part = todo.popleft()
            reason = "`fused` is False" if self.fused is False else reason_of_settings(net)
            if reason is None and is_dataset(part[0]):
                reason = "the data are a Dataset"
            if reason is None and has_names(part[0]):
                reason = "the data are a dict"
            if reason is not None:
                self.alone.setdefault(reason, []).append((net.fit, part))
                continue
            self._begin(net, part)
            held = sum(self.held.values())
            if net.device_ not in self.room:
                self.room[net.device_] = held + free_bytes(net.device_)
            # The stacks need room for copies.
            if held > self.room[net.device_] / 2:
                return

    def _begin(self, net, part):
        self.waiting[id(net)] = net, dict(vars(net))
        training = net.begin_training(*part)
        rows = training.X
        _share(rows, (id(part[0]), net.input_shape_), self.shared)
        self.held[id(rows.X)] = rows.X.nbytes
        self.held[id(net)] = sum(
            t.nbytes for t in (*net.module_.parameters(), *net.module_.buffers())
        )
        reason = (
            reason_of_callbacks(net, self.seen)
            or reason_of_module(net)
            or reason_of_batches(net, len(rows))
            or self.reason_of(net)
        )
        if reason is None:
            self.groups.setdefault(architecture(net, len(rows)), []).append((net, training))
        else:
            self.alone.setdefault(reason, []).append((net.run_training, (training,)))

    def _train_group(self, group):
        first, training = group[0]
        n_rows = len(training.X)
        reason = reason_of_size(first, len(group), n_rows) if self.fused == "auto" else None
        reason = reason or reason_of_vmap(first, training)
        most = math.inf
        if reason is None:
            free = self.room[first.device_] - sum(self.held.values())
            most = min(most_nets(first, n_rows), most_that_fit(group, free))
            reason = NO_ROOM if most < min(len(group), 2) else None
        members = []
        for net, training in group:
            own = reason or reason_of_forward(first, net, training)
            if own is None:
                members.append(Member(net, training))
            else:
                self.alone.setdefault(own, []).append((net.run_training, (training,)))
        stacks = cut(members, most)
        while stacks:
            members = stacks.pop(0)
            left = _left_by(members)
            for member in members:
                if member.is_trained:
                    self.waiting.pop(id(member.net))
            for member in left:
                member.restart()
            if len(left) == 1:
                # Alone a net needs less memory than in a stack.
                run = left[0].net.run_training, (left[0].training,)
                self.alone.setdefault(NO_ROOM, []).append(run)
            elif left:
                left = [Member(member.net, member.training) for member in left]
                stacks = cut(left, math.ceil(len(left) / 2)) + stacks


def _left_by(members):
    """Train members in a stack; return those that it left untrained because memory ran out."""
    try:
        Stack(members).train()
    except torch.cuda.OutOfMemoryError:
        # The error holds the tensors of the stack. They are freed when this block has ended.
        is_out_of_memory = True
    else:
        is_out_of_memory = False
    if is_out_of_memory:
        torch.cuda.empty_cache()
    return [member for member in members if not member.is_trained]


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
