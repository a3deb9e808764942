"""
Negated loss against cross-entropy
==================================

When the perturbation of every row is bounded (regime B), the paper's negated loss hurts no more
than cross-entropy up to a budget of 0.75, and far more from 1 on. At 1.5 the victim of the negated
loss is right on less than 1% of the digits, the victim of cross-entropy on 46%. Noise of the same
size hardly hurts at any budget.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skpoison import MLP, CleanLabelPGA, NetClassifier, RandomNoise

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=20)

# %%
# Both attacks use the same surrogate and the same budget. Noise moves every row in a random
# direction, as far as the attack with the negated loss does.
budgets = [0.25, 0.5, 0.75, 1.0, 1.5]
seeds = range(3)
accuracy = {name: np.empty((len(budgets), len(seeds))) for name in ("negated", "cross_entropy")}
accuracy["noise"] = np.empty((len(budgets), len(seeds)))
for i, budget in enumerate(budgets):
    for seed in seeds:
        victim = clone(net).set_params(random_state=seed)
        for loss in ("negated", "cross_entropy"):
            attack = CleanLabelPGA(
                net, norm="l2,inf", budget=budget, loss=loss, max_iter=50, random_state=100 + seed
            )
            X_poisoned, _ = attack.poison(X_train, y_train)
            accuracy[loss][i, seed] = clone(victim).fit(X_poisoned, y_train).score(X_test, y_test)
            if loss == "negated":
                noise = RandomNoise(
                    norm="l2,inf",
                    budget=budget,
                    norms=attack.perturbation_norms_,
                    random_state=seed,
                )
        X_noisy, _ = noise.poison(X_train, y_train)
        accuracy["noise"][i, seed] = clone(victim).fit(X_noisy, y_train).score(X_test, y_test)

fig, ax = plt.subplots()
for name, table in accuracy.items():
    ax.errorbar(budgets, table.mean(axis=1), table.std(axis=1, ddof=1), capsize=3, label=name)
ax.set(
    xlabel="Norm that each row may move (budget B)", ylabel="Accuracy on clean data", ylim=(0, 1)
)
ax.legend()
for name, table in accuracy.items():
    print(name, table.mean(axis=1).round(3))
