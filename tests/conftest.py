import os

# Read when scipy is imported; without it scikit-learn skips a check of each estimator.
os.environ["SCIPY_ARRAY_API"] = "1"

import matplotlib

matplotlib.use("agg")

import numpy as np
import pytest
import torch

# The hooks that run tests marked gpu on a pretend GPU, where there is no real one.
from pretend_cuda.parent import pytest_runtest_protocol, pytest_sessionfinish  # noqa: F401
from sklearn.datasets import load_digits

# Its asserts show the values that differ, as those in tests do.
pytest.register_assert_rewrite("refusals")

# Small nets gain nothing from a second thread, and lose a lot where other work has the core.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits():
    """300 digits in [0, 1] and their labels, read-only: a test that writes to them fails."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:300] / 16, y[:300]
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.fixture(scope="session")
def split_digits():
    """All digits in [0, 1] as X_train, y_train, X_test, y_test, in a fixed random order."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / 16, y[order]
    return X[:1400], y[:1400], X[1400:], y[1400:]
