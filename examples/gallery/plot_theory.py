"""
Theory against simulation
=========================

Theorem 2.2 bounds the excess risk of SGD under perturbed gradients. In simulation the bound holds
and has the right shape: the measured risk is 6 to 13% of it, whether the sum S of the perturbations
is constant, grows as the square root of the steps T, or as T. The promises of Section 3 for nets
are vacuous for a small data set: for two digits, errors of at most 70, 4 and 68 at widths over a
billion.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_digits, make_blobs

from skpoison.theory import (
    DataOracle,
    PoisonedOracle,
    constant_perturbation,
    projected_sgd,
    sgd_excess_risk_bound,
    sgd_step_size,
    theory_report,
)

X, y = make_blobs(2000, n_features=5, centers=2, cluster_std=4.0, random_state=0)
X = X / np.linalg.norm(X, axis=1).max()
clean = DataOracle(X, y)
radius = 5.0
best = minimize(
    clean.objective,
    np.zeros(5),
    method="SLSQP",
    constraints={"type": "ineq", "fun": lambda w: radius**2 - w @ w},
).fun

# %%
# Theorem 2.2: SGD takes T steps on a convex problem. Every gradient is moved in the same direction,
# so that the norms of the perturbations sum to S. The bound falls as 1/sqrt(T) as long as S/T does
# too.
steps = np.geomspace(100, 30_000, 6).astype(int)
fig, ax = plt.subplots()
for growth, colour in ((0.0, "C0"), (0.5, "C1"), (1.0, "C2")):
    measured, bounds = [], []
    for n_steps in steps.tolist():
        total = 10 * (n_steps / 100) ** growth
        norm = total / n_steps
        constants = dict(
            radius=radius, gradient_bound=clean.gradient_bound, perturbation_bound=norm
        )
        result = projected_sgd(
            PoisonedOracle(clean, constant_perturbation(np.ones(5), norm)),
            np.zeros((32, 5)),
            n_steps=n_steps,
            radius=radius,
            step_size=sgd_step_size(n_steps, **constants),
            random_state=0,
        )
        measured.append(np.mean([clean.objective(w) for w in result.x]) - best)
        bounds.append(sgd_excess_risk_bound(n_steps, total_perturbation=total, **constants))
    ax.loglog(steps, measured, colour, marker="o", label=f"S grows as T^{growth}")
    ax.loglog(steps, bounds, colour, linestyle="--")
    print(growth, np.round(measured, 4), np.round(np.array(measured) / bounds, 3))
ax.set(xlabel="Steps T", ylabel="Excess risk: measured (line), bound (dashes)")
ax.legend()

# %%
# Section 3 for two digits: what each theorem requires and promises for this number of rows.
X, y = load_digits(n_class=2, return_X_y=True)
print(theory_report(X, y, random_state=0))
