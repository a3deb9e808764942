"""A pytest plugin that runs skorch's own tests with another class in the place of skorch's.

Environment variables choose the class (NET_CLASS) and the file for the outcomes (OUTCOMES).
"""

import contextlib
import functools
import json
import os
import sys
import types

import pytest
import torch
from skorch.dataset import ValidSplit

from skpoison import NetClassifier


class NeuralNetClassifier(NetClassifier):
    """A `NetClassifier` with skorch's defaults, and the name that skorch's tests expect."""

    __module__ = "skorch.classifier"

    def __init__(self, module, **kwargs):
        skorchs = {
            "criterion": torch.nn.NLLLoss,
            "drop_last": False,
            "train_split": ValidSplit(5, stratified=True),
            "verbose": 1,
        }
        super().__init__(module, **{**skorchs, **kwargs})


NET_CLASSES = {
    "skorch's": None,
    "ours": NetClassifier,
    "ours with skorch's defaults": NeuralNetClassifier,
}
OUTCOMES = {}


def pytest_configure():
    torch.set_num_threads(1)
    try:
        import flaky  # noqa: F401
    except ImportError:
        # skorch's tests import this package, to run one test again that fails for some seeds.
        sys.modules["flaky"] = types.SimpleNamespace(flaky=_several_times)
    from skorch.tests import test_classifier, test_net

    kind = NET_CLASSES[os.environ["NET_CLASS"]]
    if kind is None:
        return
    for tests in (*vars(test_net).values(), test_classifier.TestNeuralNet):
        if isinstance(tests, type) and "net_cls" in vars(tests):
            tests.net_cls = _fixture_of(kind)


def _several_times(max_runs):
    def decorate(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            for _ in range(max_runs - 1):
                with contextlib.suppress(AssertionError):
                    return test(*args, **kwargs)
            return test(*args, **kwargs)

        return run

    return decorate


def _fixture_of(kind):
    @pytest.fixture(scope="module")
    def net_cls(self):
        return kind

    return net_cls


def pytest_runtest_logreport(report):
    file, _, test = report.nodeid.partition("::")
    name = f"{os.path.basename(file)}::{test}"
    if report.failed:
        OUTCOMES[name] = "failed"
    elif report.when == "call":
        OUTCOMES.setdefault(name, report.outcome)


def pytest_sessionfinish():
    with open(os.environ["OUTCOMES"], "w") as file:
        json.dump(OUTCOMES, file)
