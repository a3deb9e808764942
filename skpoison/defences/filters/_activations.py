"""The activations of a net, by which filters compare rows."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from torch import nn

from ..._seeding import seed_estimator
from ..._validation import check_rows, without_names
from ...nets import NetClassifier
from .._rows import take_rows

# Rows that go through the net at a time, so that its layers need memory for these only.
_PART = 512


def check_net(estimator):
    """Raise unless `estimator` is a net, or a Pipeline that ends in one, or either frozen."""
    if not isinstance(_last(estimator), NetClassifier):
        raise TypeError(
            "`estimator` must be a NetClassifier, or a Pipeline that ends in one, got "
            f"{estimator!r}"
        )


def check_layer(layer):
    """Raise unless `layer` is None or a name."""
    if layer is not None and not isinstance(layer, str):
        raise TypeError(f"`layer` must be None or the name of a module, got {layer!r}")


class Activations:
    """What a layer of a net gives for the rows of X.

    Parameters
    ----------
    estimator : NetClassifier or Pipeline
        It is cloned, seeded from `random_state` where it has no seed, and fitted on X and y.
    layer : str or None
        The name of a module, whose output is taken. None: the input of the last linear layer.
    X, y
        Training rows in any container that the estimator takes, and their labels.

    Attributes
    ----------
    estimator : NetClassifier or Pipeline
        The fitted clone.
    """

    def __init__(self, estimator, layer, X, y, random_state):
        self.estimator = seed_estimator(clone(estimator), random_state, overwrite=False).fit(X, y)
        self._layer, self._X = layer, X

    def of(self, rows):
        """The activations of some rows of X, as an array of floats (n_rows, d)."""
        parts = [self._of_part(rows[at : at + _PART]) for at in range(0, len(rows), _PART)]
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            raise ValueError(
                "`estimator` must have finite activations, got NaN or infinity: did its training "
                "diverge?"
            )
        return found

    def _of_part(self, rows):
        X, net = take_rows(self._X, rows), _last(self.estimator)
        with without_names():  # The fit has checked them.
            for step in _steps_before(self.estimator):
                X = step.transform(X)
            X = torch.as_tensor(check_rows(net, X, reset=False))
            recorder = _Recorder(net.module_, self._layer)
            with torch.no_grad(), recorder.listening():
                logits = net.logits(X)
        found = recorder.found
        if self._layer is None and recorder.n_outputs not in (1, logits.shape[1]):
            raise ValueError(
                "`layer` must name a module, because the last module of "
                f"{type(net.module_).__name__} is not linear, got None; its modules are "
                f"{recorder.names}"
            )
        if found is None or not len(found.shape) or len(found) != len(rows):
            raise ValueError(
                "`layer` must name a module that is called with all rows, got "
                f"{self._layer!r}: it gave {None if found is None else tuple(found.shape)} for "
                f"{len(rows)} rows"
            )
        return found.reshape(len(rows), -1).float().cpu().numpy()


class _Recorder:
    """Keeps the last output of a layer; without a layer, the last input of any linear module.

    Attributes
    ----------
    found : Tensor or None
        A copy, because a later module may write into the tensor.
    n_outputs : int
        Outputs of the linear module that had this input; 0 if there is none.
    names : list of str
        The names of the modules.
    """

    def __init__(self, module, layer):
        named = {name: part for name, part in module.named_modules() if name}
        self.names = list(named)
        self.found, self.n_outputs = None, 0
        if layer is None:
            parts = [part for part in module.modules() if isinstance(part, nn.Linear)]
            self._hooks = [(part, self._keep_input) for part in parts]
        elif layer in named:
            self._hooks = [(named[layer], self._keep_output)]
        else:
            raise ValueError(
                f"`layer` must be the name of a module of {type(module).__name__} ({self.names}), "
                f"got {layer!r}"
            )

    @contextmanager
    def listening(self):
        handles = [part.register_forward_hook(hook) for part, hook in self._hooks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _keep_input(self, part, inputs, output):
        self.found, self.n_outputs = inputs[0].clone(), part.out_features

    def _keep_output(self, part, inputs, output):
        self.found = (output[0] if isinstance(output, tuple) else output).clone()


def _steps_before(estimator):
    """The fitted transformers of a Pipeline before its last step."""
    estimator = _thawed(estimator)
    if not isinstance(estimator, Pipeline):
        return []
    steps = [step for _, step in estimator.steps[:-1] if step not in (None, "passthrough")]
    return [*steps, *_steps_before(estimator.steps[-1][1])]


def _last(estimator):
    """The last step of a Pipeline; anything else as it is."""
    estimator = _thawed(estimator)
    return _last(estimator.steps[-1][1]) if isinstance(estimator, Pipeline) else estimator


def _thawed(estimator):
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
