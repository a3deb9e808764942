"""Longer steps under "l2,1": a stronger attack by its own loss, and not always more harm.

``step_size="auto"`` starts at 8 / max_iter of the bound and falls linearly to 0. Here the first
step is a quarter, a half or all of the bound instead, if that is more. Surrogate and victim are
`MLP(64)` with seeds of their own.
"""

import numpy as np
import torch
from _harness import parse, write
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skpoison import MLP, CleanLabelPGA, NetClassifier, fetch_mnist


class LongSteps(CleanLabelPGA):
    """`CleanLabelPGA` whose first step is at least a share of the bound."""

    first = 0.0

    def _step_lengths(self, slopes, step, radius):
        first = max(self.first, 8 / self.max_iter) * radius
        return slopes / slopes.sum() * first * (1 - step / self.max_iter)


args = parse(__doc__, rows=3000)
torch.set_num_threads(1)
X, y = fetch_mnist()
digits = load_digits(return_X_y=True)
sets = {"digits": (digits[0] / 16, digits[1]), "mnist": (X[: args.rows], y[: args.rows])}
budgets = {"digits": (30.0, 100.0), "mnist": (40.0, 120.0)}
results = []
for name, loss, max_iter in [
    (name, loss, max_iter)
    for name in sets
    for loss in ("negated", "cross_entropy")
    for max_iter in (30, 100)
]:
    for budget in budgets[name]:
        for first in (0.0, 0.25, 0.5, 1.0):
            losses, scores = [], []
            for seed in range(args.rounds):
                X_train, X_test, y_train, y_test = train_test_split(
                    *sets[name], test_size=0.3, stratify=sets[name][1], random_state=seed
                )
                net = NetClassifier(
                    MLP, module__width=64, batch_size=32, max_epochs=20, random_state=seed
                )
                attack = LongSteps(
                    FrozenEstimator(net.fit(X_train, y_train)),
                    norm="l2,1",
                    budget=budget,
                    loss=loss,
                    max_iter=max_iter,
                )
                attack.first = first
                poisoned = attack.fit(X_train, y_train).poison(X_train, y_train)
                losses.append(attack.loss_curve_[-1])
                victim = NetClassifier(
                    MLP, module__width=64, batch_size=32, max_epochs=20, random_state=100 + seed
                )
                scores.append(victim.fit(*poisoned).score(X_test, y_test))
            row = {"data": name, "loss": loss, "budget": budget, "max_iter": max_iter}
            row |= {"first": first, "attack_loss": losses, "accuracy": scores}
            print(*row.values(), np.mean(losses), np.mean(scores), flush=True)
            results.append(row)
write(args, "bench_steps", results)
