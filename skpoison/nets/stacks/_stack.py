"""Nets of one architecture as slices of stacked parameters, trained by the same operations."""

import copy
import math
import time

import torch
from skorch.callbacks import EarlyStopping
from torch.func import functional_call, vmap
from torch.nn import functional as F

from ..._deterministic import deterministic
from ..._switches import full_precision
from .._callbacks import StopTraining, only_time
from .._copies import read, send
from .._linear_chains import ALIGNED, cross_entropy, descend, layers_of
from .._steps import note_step
from ._graphs import GraphedSteps
from ._rules import tensors_of


class Member:
    """A net in a stack, with its data and its own order of batches."""

    def __init__(self, net, training):
        self.net = net
        self.training = training
        self.is_trained = False
        # A stack may run out of a GPU's memory.
        self.restart = net.remember_start() if net.device_.type != "cpu" else None
        self.X = X = training.X
        self.iterator = net.get_iterator(X, training=True)
        self.n_batches = len(self.iterator)
        self.batch_size = min(self.iterator.batch_size, len(X))
        split = training.validation
        self.epoch_data = {"dataset_train": X, "dataset_valid": split}
        self.validation = net.get_iterator(split) if split is not None else None
        # Early stopping keeps the weights of the best epoch.
        stops = any(isinstance(callback, EarlyStopping) for _, callback in net.callbacks_)
        self.is_watched = split is not None or stops
        # Calling the callbacks of each member takes as long as the steps of small nets.
        self.is_quiet = split is None and only_time(net)
        self.best_loss = math.inf

    def draw_order(self):
        """Draw the rows of an epoch, as indices of shape (n_batches * batch_size,) on the CPU."""
        return self.iterator.draw_order()[: self.n_batches * self.batch_size]

    def record(self, loss, seconds):
        """Write the row of the history that skorch and its own callbacks would write."""
        history = self.net.history
        row = {"batches": [], "epoch": len(history) + 1, "train_loss": loss}
        row["train_loss_best"] = loss < self.best_loss
        history.append({**row, "train_batch_count": self.n_batches, "dur": seconds})
        self.best_loss = min(self.best_loss, loss)


class Stack:
    """Train nets together, each as if it were trained alone.

    The members with most batches stand first, so that those that still have a batch to go are a
    slice of the stack.
    """

    def __init__(self, members):
        self.members = sorted(members, key=lambda member: -member.n_batches)
        self.module = copy.deepcopy(self.members[0].net.module_).train()
        tensors = [tensors_of(member.net.module_) for member in self.members]
        # By name; buffers are among them, which no step changes.
        self.parameters = {name: torch.stack([t[name] for t in tensors]) for name in tensors[0]}
        self.trained = [name for name, p in self.module.named_parameters() if p.requires_grad]
        self.velocity = {}
        self.n_rows = self.size = self.members[0].batch_size
        self.chain = self.members[0].net.linear_chain()
        self._gather_data()
        if self.chain is not None:
            self._align()
        self.places = self._places()
        self.graphs = GraphedSteps() if self.rows.device.type == "cuda" else None

    def _gather_data(self):
        """Put all rows into one tensor, shared rows once, and all labels into another."""
        offsets, parts, n_rows = {}, [], 0
        for member in self.members:
            X = member.X.X
            if id(X) not in offsets:
                offsets[id(X)] = n_rows
                parts.append(X)
                n_rows += len(X)
        self.rows = torch.cat(parts) if len(parts) > 1 else parts[0]
        self.labels = torch.cat([member.X.y for member in self.members])
        # Where the rows and the labels of each member begin.
        first_row = torch.tensor([offsets[id(member.X.X)] for member in self.members])
        n_labels = torch.tensor([0] + [len(member.X.y) for member in self.members[:-1]])
        first_label = n_labels.cumsum(0)
        first = send([first_row, first_label], self.rows.device)
        self.first = [part[:, None, None] for part in first]

    def _align(self):
        """Align the matrices of each net with lines of the cache, at every place in the stack.

        MKL adds up in another order where a matrix does not begin there. We pad with features and
        units whose weights are 0 and stay 0, and with rows that do not enter the loss.
        """
        self.size += -self.size % ALIGNED
        weights = [self.parameters[weight] for weight, _, _ in self.chain]
        if all(math.prod(weight.shape[1:]) % ALIGNED == 0 for weight in weights):
            return
        for weight, bias, _ in self.chain:
            _, n_out, n_in = self.parameters[weight].shape
            more = 0 if weight == self.chain[-1][0] else -n_out % ALIGNED
            self.parameters[weight] = F.pad(self.parameters[weight], (0, -n_in % ALIGNED, 0, more))
            if bias is not None:
                self.parameters[bias] = F.pad(self.parameters[bias], (0, more))
        self.rows = F.pad(self.rows.flatten(1), (0, -self.rows[0].numel() % ALIGNED))

    def _places(self):
        """Find the places of the drawn rows in an array of shape (members, batches, batch_size)."""
        n_batches = torch.tensor([member.n_batches for member in self.members])
        has_batch = torch.arange(self.members[0].n_batches) < n_batches[:, None]
        is_there = has_batch[..., None] & (torch.arange(self.size) < self.n_rows)
        return is_there.flatten().nonzero().squeeze(1)

    def train(self):
        """Train all members to their end."""
        with full_precision(self.rows.device), deterministic(self.rows.device):
            self._train()

    def _train(self):
        for member in self.members:
            member.net.notify("on_train_begin", X=member.X, y=member.training.y)
        for _ in range(self.members[0].net.max_epochs):
            start = time.time()
            for member in self.members:
                if not member.is_quiet:
                    member.net.notify("on_epoch_begin", **member.epoch_data)
            losses, passes = self._run_epoch(), self._validate()
            # The only copy from the device in an epoch; the only one to it is in `_run_epoch`.
            [losses], *values = read([[losses], *(part.tensors for part in passes.values())])
            values = dict(zip(passes, values, strict=True))
            stopped = []
            for k, member in enumerate(self.members):
                loss = sum(losses[k][: member.n_batches]) / member.n_batches
                if member.is_quiet:
                    member.record(loss, time.time() - start)
                    continue
                member.net.record_train_loss(loss, member.n_batches)
                if k in passes:
                    member.net.record_pass(passes[k], values[k])
                if self._end_epoch(member):
                    stopped.append(k)
            self._leave(stopped)
            if not self.members:
                return
        self._leave(range(len(self.members)))

    def _run_epoch(self):
        """Go once through each member's data; returns losses of shape (n_members, n_batches)."""
        members = self.members
        n_batches = [member.n_batches for member in members]
        device = self.rows.device
        orders = torch.zeros(len(members), n_batches[0], self.size, dtype=torch.int64)
        # One call for all: a slice of a tensor takes as long as a step of a small net.
        drawn = torch.cat([member.draw_order() for member in members])
        orders.view(-1).index_copy_(0, self.places, drawn)
        rates = [member.net.optimizer_.param_groups[0]["lr"] for member in members]
        orders, rates = send([orders, torch.tensor(rates, dtype=self.rows.dtype)], device)
        index, labels = (orders + first for first in self.first)
        labels = self.labels[labels]
        losses = torch.zeros(len(members), n_batches[0], device=device, dtype=self.rows.dtype)
        active = len(members)
        for t in range(n_batches[0]):
            while n_batches[active - 1] <= t:
                active -= 1
            inputs = index[:active, t], labels[:active, t], rates[:active]
            losses[:active, t] = self._take_step(*inputs)
        return losses

    def _take_step(self, *inputs):
        if self.graphs is None:
            return self._step(*inputs)
        return self.graphs.take(self._step, inputs, self._changed)

    def _changed(self):
        """Return the tensors that a step changes; some of them are made in the first step."""
        return [*self.parameters.values(), *self.velocity.values()]

    def _step(self, index, labels, rates):
        """Take one step of SGD in each of the first members, and return their losses."""
        active, size = index.shape
        slices = self.parameters
        if active < len(self.members):
            slices = {name: value[:active] for name, value in slices.items()}
        # This takes a fifth of the time of `self.rows[index]`.
        X = self.rows.index_select(0, index.reshape(-1))
        if self.chain is not None:
            return self._chain_step(slices, X.reshape(active, size, -1), labels, rates)
        X = X.reshape(active, size, *self.rows.shape[1:])
        slices = {name: value.detach() for name, value in slices.items()}
        leaves = [slices[name].requires_grad_() for name in self.trained]
        logits = vmap(self._forward)(slices, X)
        # A CUDA graph cannot hold a copy from the host: the number is filled in on the device.
        share = logits.new_full((1, 1, 1), 1.0) / size
        loss, slope = cross_entropy(logits.detach().mT, labels.unsqueeze(1), share, -share)
        gradients = torch.autograd.grad(logits, leaves, slope.mT, allow_unused=True)
        with torch.no_grad():
            for name, leaf, gradient in zip(self.trained, leaves, gradients, strict=True):
                if gradient is None:
                    continue  # A parameter that the forward does not use.
                direction = self._direction(name, leaf, gradient)
                leaf.addcmul_(direction, rates.reshape(-1, *[1] * (leaf.ndim - 1)), value=-1)
        return loss

    def _chain_step(self, slices, X, labels, rates):
        if self.n_rows < self.size:
            # Padding rows are copies of a data row. If its values overflowed, 0 * inf would bring
            # NaN into the gradient.
            X[:, self.n_rows :] = 0
        alone = len(X) == 1
        if alone:
            # MKL multiplies a single matrix by another algorithm, which rounds differently. So a
            # net that is alone is trained beside a copy of itself.
            single, slices = slices, {name: torch.cat([p, p]) for name, p in slices.items()}
            X, labels, rates = (torch.cat([part, part]) for part in (X, labels, rates))
        layers = layers_of(self.chain, slices)
        shares = (rates / self.n_rows).view(-1, 1, 1)
        losses = descend(layers, X, labels.unsqueeze(1), shares, self.n_rows)
        if alone:
            for name, parameter in single.items():
                parameter.copy_(slices[name][:1])
        return losses[: 1 if alone else None]

    def _forward(self, parameters, X):
        output = functional_call(self.module, parameters, (X,))
        return output[0] if isinstance(output, tuple) else output

    def _direction(self, name, leaf, gradient):
        """Return the gradient after weight decay and momentum: SGD multiplies it by the rate."""
        options = self.members[0].net.optimizer_.param_groups[0]
        if options["weight_decay"]:
            gradient = gradient.add(leaf, alpha=options["weight_decay"])
        momentum = options["momentum"]
        if not momentum:
            return gradient
        if name not in self.velocity:
            # This is the first step, at which all members have a batch.
            self.velocity[name] = gradient.clone()
        else:
            velocity = self.velocity[name][: len(leaf)]
            velocity.mul_(momentum).add_(gradient, alpha=1 - options["dampening"])
        velocity = self.velocity[name][: len(leaf)]
        return gradient.add(velocity, alpha=momentum) if options["nesterov"] else velocity

    def _validate(self):
        """Bring watched nets up to date; return the passes over validation data, by place."""
        passes = {}
        for k, member in enumerate(self.members):
            if member.is_watched:
                self._copy_to_net(k)
            if member.validation is not None:
                passes[k] = member.net.run_validation(member.validation)
        return {k: part for k, part in passes.items() if part is not None}

    def _end_epoch(self, member):
        """Tell the callbacks of a member; return whether they end its training."""
        note_step(member.net.optimizer_)
        try:
            member.net.notify("on_epoch_end", **member.epoch_data)
            has_enough = False
        except StopTraining:
            has_enough = True
        return has_enough

    def _copy_to_net(self, k):
        with torch.no_grad():
            for name, parameter in self.members[k].net.module_.named_parameters():
                value = self.parameters[name][k]
                parameter.copy_(value[tuple(map(slice, parameter.shape))])

    def _leave(self, leaving):
        """Finish the members at these places, and remove them from the stack."""
        leaving = set(leaving)
        for k in leaving:
            member = self.members[k]
            self._copy_to_net(k)
            for name, velocity in self.velocity.items():
                parameter = member.net.module_.get_parameter(name)
                state = member.net.optimizer_.state[parameter]
                state["momentum_buffer"] = velocity[k].clone()
            member.net.finish_training(member.training)
            member.is_trained = True
        stay = [k for k in range(len(self.members)) if k not in leaving]
        if not stay:
            self.members = []
        elif leaving:
            self._keep(stay)

    def _keep(self, stay):
        """Keep the members at these places only."""
        self.members = [self.members[k] for k in stay]
        self.places = self._places()
        # Not by an index, which would have to be copied to the device.
        self.first = [torch.stack([part[k] for k in stay]) for part in self.first]
        for tensors in (self.parameters, self.velocity):
            for name, value in tensors.items():
                tensors[name] = torch.stack([value[k] for k in stay])
        if self.graphs is not None:
            self.graphs.forget()
