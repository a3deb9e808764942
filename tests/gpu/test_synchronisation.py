"""How often a fit copies between CPU and GPU: the CPU then waits, and the GPU after it."""

import numpy as np
import pytest
from skorch.callbacks import LRScheduler
from torch import nn

from skpoison import MLP, NetClassifier, PartitionEnsemble, fit_many

pytestmark = pytest.mark.gpu


class Own(nn.Module):
    """No chain of linear layers: autograd takes its steps."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, X):
        return self.layer(X).tanh()


OPTIONS = {
    "plain": dict,
    "early stopping": lambda: {"early_stopping": True, "n_iter_no_change": 20},
    "falling rate": lambda: {"callbacks": [("rate", LRScheduler("StepLR", step_size=1))]},
    "momentum": lambda: {"optimizer__momentum": 0.9},
}


def make(module, **kwargs):
    return NetClassifier(module, batch_size=30, device="cuda", random_state=0, **kwargs)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("module", [MLP, Own])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_epoch_copies_at_most_once_to_each_side(digits, transfers, n, module, options):
    # Fails if losses, numbers of right predictions or rates are copied net by net or by batch.
    counts = []
    for max_epochs in (4, 7):  # A stack of 10 batches captures its step in the third.
        nets = [make(module, max_epochs=max_epochs, **options()) for _ in range(n)]
        with transfers() as count:
            if n == 1:
                nets[0].fit(*digits)
            else:
                fit_many(nets, [digits] * n, fused=True)
        counts.append(count)
    short, long = counts
    assert short.to_host > 0
    assert (long.to_host - short.to_host) / 3 <= 1, long.by_line
    assert (long.to_device - short.to_device) / 3 <= 1, long.by_line


def test_an_ensemble_copies_rows_once_for_all_members(digits, transfers):
    # Fails if each member gets the same rows again, or its predictions are copied on their own.
    X, y = digits
    net = make(MLP, max_epochs=1, module__width=8)
    ensemble = PartitionEnsemble(net, n_partitions=6, random_state=0).fit(X, y)
    with transfers() as count:
        votes = ensemble.votes(X)
    assert (count.to_host, count.to_device) == (1, 1)
    expected = np.zeros_like(votes)
    for member in ensemble.estimators_:
        for row, label in enumerate(member.predict(X)):
            expected[row, label] += 1
    np.testing.assert_array_equal(votes, expected)
