"""
Where the budget goes
=====================

When the sum of the perturbations is bounded (regime A), the two losses spend the same budget in
opposite ways, as in the lower row of the paper's Figure 1. Cross-entropy moves 18% of the rows, by
2.6 (median), and leaves the others alone. The negated loss moves 91%, by 0.46.
"""

import numpy as np
from sklearn.datasets import load_digits

from skpoison import (
    MLP,
    CleanLabelPGA,
    NetClassifier,
    PerturbationNormDisplay,
    PoisonedRowsDisplay,
)

X, y = load_digits(return_X_y=True)
X = X / 16
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=20)

# %%
# Both losses get the same budget for the sum of all row norms: 20 times the square root of the
# number of rows, or 0.47 for each row.
attacks = {
    loss: CleanLabelPGA(net, norm="l2,1", budget=20.0, loss=loss, random_state=0)
    for loss in ("negated", "cross_entropy")
}
poisoned = {loss: attack.poison(X, y)[0] for loss, attack in attacks.items()}
norms = {loss: attack.perturbation_norms_ for loss, attack in attacks.items()}
PerturbationNormDisplay.from_norms(norms)
for loss, attack in attacks.items():
    moved = norms[loss][attack.poison_indices_]
    print(f"{loss}: {len(moved) / len(y):.0%} of the rows moved, by {np.median(moved):.2f}")
    print(
        f"  (median), {moved.max():.2f} at most; {attack.budget_spent_ / attack.budget_:.1%} spent"
    )

# %%
# The negated loss: the rows that moved farthest, before and after. Their labels did not change.
PoisonedRowsDisplay.from_rows(X, poisoned["negated"], y, image_shape=(8, 8))

# %%
# Cross-entropy moves the farthest rows so far that they look like other digits.
PoisonedRowsDisplay.from_rows(X, poisoned["cross_entropy"], y, image_shape=(8, 8))
