"""The surrogate, a model of the clean data: its logits, parameters and scores for an attack."""

from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._deterministic import deterministic
from .._frames import count_rows
from .._seeding import seed_estimator
from .._switches import full_precision, without_cudnn
from .._validation import check_rows, encode_labels, without_names
from ._linear import LinearLogits
from ._parts import parts_of
from ._vectors import as_float64, has_float64

# The end of a warning: why a surrogate can be useless to an attack.
FLAT = (
    "as if it predicted one class with certainty for all features. It may need scaled features or "
    "more training."
)


def fit_surrogate(surrogate, X, y, random_state, *, differentiable=True):
    """Fit a clone of `surrogate` on the clean data; a FrozenEstimator stays as it is.

    Returns the fitted surrogate and the index of each label in its classes. With `differentiable`
    it raises for a surrogate that `logits_of` cannot handle.
    """
    if isinstance(surrogate, type) or not hasattr(surrogate, "fit"):
        raise TypeError(f"`surrogate` must be a classifier, got {surrogate!r}")
    fitted = clone(surrogate)
    if fitted is not surrogate:
        seed_estimator(fitted, random_state, overwrite=False)
    fitted.fit(rows_for(fitted, X), y)
    if differentiable:
        _check_differentiable(fitted)
    return fitted, encode_labels(y, np.asarray(fitted.classes_), "`surrogate`")


def logits_of(surrogate, X):
    """Return a differentiable function from a tensor of rows like X to logits (n, n_classes).

    If the surrogate has a method `logits`, this is the function. A linear scikit-learn classifier
    is computed from its coefficients, after a check on rows of X that these give its decision.
    """
    if hasattr(surrogate, "logits"):
        return surrogate.logits
    logits = LinearLogits(surrogate)
    sample = X[:16].reshape(min(len(X), 16), -1).astype(np.float64)
    # A frozen surrogate may know its features by name.
    with without_names():
        expected = np.asarray(surrogate.decision_function(sample))
    with torch.no_grad():
        actual = logits(torch.tensor(sample)).numpy()
    if expected.ndim == 1:
        actual = actual[:, 1]
    if expected.shape != actual.shape or not np.allclose(expected, actual, rtol=1e-3, atol=1e-6):
        _refuse(surrogate)
    return logits


def device_of(surrogate):
    """The device on which a surrogate is given rows: its `device_`, or the CPU.

    Attacks compute sums and norms in float64. If `device_` has no float64, the CPU is returned.
    """
    device = torch.device(getattr(surrogate, "device_", "cpu"))
    return device if has_float64(device) else torch.device("cpu")


@contextmanager
def differentiable(surrogate):
    """Compute logits and gradients of a surrogate in full float32 and with repeatable bits.

    Recurrent layers compute without cuDNN, which differentiates them in training mode only.
    """
    # A surrogate with `logits` but without `device_` may compute on CUDA.
    unknown = "cuda" if hasattr(surrogate, "logits") else "cpu"
    device = torch.device(getattr(surrogate, "device_", unknown))
    needs_no_cudnn = device.type == "cuda" and _is_recurrent(surrogate)
    cudnn = without_cudnn() if needs_no_cudnn else nullcontext()
    with full_precision(device), deterministic(device), cudnn:
        try:
            yield
        except RuntimeError as error:
            if "cudnn rnn" not in str(error).lower().replace("_", " "):
                raise
            raise ValueError(
                "`surrogate` must have gradients in evaluation mode, and recurrent layers on cuDNN "
                "have none. Poison inside `with torch.backends.cudnn.flags(enabled=False):`, use a "
                "surrogate that has the network as `module_`, or one with device='cpu'."
            ) from error


def _is_recurrent(surrogate):
    module = getattr(surrogate, "module_", None)
    if not isinstance(module, torch.nn.Module):
        return False
    return any(isinstance(part, torch.nn.RNNBase) for part in module.modules())


def parameters_of(surrogate, logits):
    """The tensors that training the surrogate changes; `logits` is the result of `logits_of`."""
    module = logits if isinstance(logits, torch.nn.Module) else getattr(surrogate, "module_", None)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            "`surrogate` must have a `module_`, a torch.nn.Module whose parameters it trains, "
            f"got {type(surrogate).__name__}"
        )
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise TypeError("`surrogate` must have parameters that are trained, got none")
    return parameters


def scores_of(surrogate, X):
    """Return the surrogate's score of each class for each row of X, (n, n_classes), in float64.

    Scores are its logits, else its decision function, else the logarithms of its probabilities.
    """
    with without_names():
        return _scores_of(surrogate, X)


def _scores_of(surrogate, X):
    n_rows, n_classes = count_rows(X), len(surrogate.classes_)
    rows = rows_for(surrogate, X)
    if hasattr(surrogate, "logits"):
        rows = check_rows(BaseEstimator(), X, reset=True)
        scores = np.empty((n_rows, n_classes))
        with torch.no_grad(), differentiable(surrogate):
            for part in parts_of(n_rows):
                own = torch.tensor(rows[part], device=device_of(surrogate))
                scores[part] = as_float64(surrogate.logits(own)).cpu().numpy()
    elif hasattr(surrogate, "decision_function"):
        last = surrogate[-1] if isinstance(surrogate, Pipeline) else surrogate
        if n_classes > 2 and getattr(last, "decision_function_shape", "ovr") == "ovo":
            raise TypeError(
                "`surrogate` must have a score for each class, got one for each pair: "
                "`decision_function_shape` is 'ovo'"
            )
        scores = np.asarray(surrogate.decision_function(rows), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
    elif hasattr(surrogate, "predict_proba"):
        scores = np.log(np.clip(surrogate.predict_proba(rows), np.finfo(np.float64).tiny, None))
    else:
        raise TypeError(
            "`surrogate` must have a method `logits`, `decision_function` or `predict_proba`, "
            f"got {type(surrogate).__name__}"
        )
    if scores.shape != (n_rows, n_classes):
        raise TypeError(
            f"`surrogate` must have one score for each of its {n_classes} classes, "
            f"got scores of shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("`surrogate` must have finite scores, got others")
    return scores


def rows_for(surrogate, X):
    """X as the surrogate takes it: images are flat for scikit-learn's own classifiers.

    Of a Pipeline, the last step counts.
    """
    if not isinstance(X, np.ndarray):
        return X
    # In C order, so that the rounding of sums does not depend on how X lies in memory.
    X = np.ascontiguousarray(X)
    is_net = hasattr(_last_step(surrogate), "logits")
    return X if is_net or X.ndim <= 2 else X.reshape(len(X), -1)


def _last_step(surrogate):
    """The classifier in a surrogate: in a FrozenEstimator, or at the end of a Pipeline."""
    while isinstance(surrogate, (FrozenEstimator, Pipeline)):
        is_frozen = isinstance(surrogate, FrozenEstimator)
        surrogate = surrogate.estimator if is_frozen else surrogate.steps[-1][1]
    return surrogate


def _check_differentiable(surrogate):
    surrogate = _last_step(surrogate)
    if hasattr(surrogate, "logits"):
        return
    n_classes = len(getattr(surrogate, "classes_", ()))
    shape = (1 if n_classes == 2 else n_classes, getattr(surrogate, "n_features_in_", None))
    coef = getattr(surrogate, "coef_", None)
    if not isinstance(coef, np.ndarray) or not hasattr(surrogate, "decision_function"):
        _refuse(surrogate)
    if np.atleast_2d(coef).shape != shape:
        _refuse(surrogate)


def _refuse(surrogate):
    inner = surrogate.estimator if isinstance(surrogate, FrozenEstimator) else surrogate
    kind = type(inner).__name__
    raise TypeError(
        "`surrogate` must have gradients: a NetClassifier (or a classifier with a method `logits`) "
        "or a linear scikit-learn classifier, or a Pipeline that ends in one, "
        f"got {kind}"
    )
