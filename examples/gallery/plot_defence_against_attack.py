"""
Defences against attacks: a small matrix
========================================

No defence answers every attack. On digits, trimming and the votes of neighbours win back 4 and 7 of
the 9 points that random flips cost. Both stop the backdoor patch. Neither repairs rows that
`CleanLabelPGA` has moved: their labels are right, and the net learns them. An ensemble of 20 nets
stops the patch too, but costs 12 points of accuracy when nobody attacks.

This is a part of a larger matrix with MNIST, more defences and more attacks:
``examples/plot_defence_matrix.py``. Runs in 20 seconds.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skpoison import (
    MLP,
    BackdoorPatch,
    CleanLabelPGA,
    FilteredClassifier,
    LabelFlip,
    LossTrimming,
    NeighbourVote,
    NetClassifier,
    PartitionEnsemble,
    robustness_curve,
)

X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))[:1200]
X, y = (X[order] / 16).astype(np.float32), y[order]
net = NetClassifier(MLP, lr=0.2, batch_size=32, max_epochs=30)

# %%
# The victims are a net and three nets with a defence. All see the same folds, poisoned rows and
# seeds.
victims = {
    "none": net,
    "LossTrimming": LossTrimming(net, fraction=0.2),
    "NeighbourVote": FilteredClassifier(net, NeighbourVote()),
    "PartitionEnsemble": PartitionEnsemble(net, 20),
}

# %%
# Each attack is studied at two strengths: 0, which is training without it, and one other. The patch
# makes 2 x 2 pixels white in a hundredth of the rows, and calls them zeros.
patch = np.full((8, 8), np.nan)
patch[-2:, -2:] = 1.0
attacks = {
    "flips": (LabelFlip(sampling="exact"), 0.2),
    "PGA": (CleanLabelPGA(net, norm="l2,inf", max_iter=50), 1.0),
    "patch": (BackdoorPatch(patch.ravel(), target=0), 0.011),
}
columns = {}
for name, (attack, strength) in attacks.items():
    scoring = {"accuracy": "accuracy"}
    if name == "patch":  # Also the share of rows with the patch that are called zeros.
        scoring["success"] = attack.success_rate
    study = {"param_name": "strength", "param_range": [0, strength], "scoring": scoring}
    curves = robustness_curve(victims, X, y, attacks={name: attack}, cv=3, random_state=0, **study)
    for metric, by_victim in curves.items():
        means = {v: curve.scores[name].mean(axis=1) for v, curve in by_victim.items()}
        columns.setdefault(f"no attack:\n{metric}", {v: mean[0] for v, mean in means.items()})
        columns[f"{name}:\n{metric}"] = {v: mean[1] for v, mean in means.items()}

# %%
# Accuracy is on clean rows. The last two columns say how often a row with the patch is called a
# zero by a net that never saw the patch in training, and by one that did.
grid = np.array([[column[v] for column in columns.values()] for v in victims])
_, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.imshow(grid, cmap="viridis", vmin=0, vmax=1, aspect="auto")
for (i, j), value in np.ndenumerate(grid):
    ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="w" if value < 0.5 else "k")
ax.set_xticks(range(len(columns)), columns)
ax.set_yticks(range(len(victims)), victims)
plt.show()
