"""
Attacks with an aim
===================

A victim can be right on clean rows and wrong where the attacker wants it. Give 5% of the rows a
bright corner and the label 0: then a net of 256 units calls 95% of the digits with this corner 0, a
net of 4 units 81%. A second attack leaves all labels right: three of four test rows are taken for
the digit that the attacker chose, at a cost of 0.01 to 0.07 in accuracy.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skpoison import (
    MLP,
    BackdoorPatch,
    GradientMatching,
    NetClassifier,
    RandomNoise,
    RobustnessCurveDisplay,
    robustness_curve,
)

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=20, random_state=0)

# %%
# Where the patch is NaN, a row keeps its values. `success_rate` is a scorer: the share of rows for
# which the victim predicts the target once they have the patch.
patch = np.full((8, 8), np.nan)
patch[-2:, -2:] = 1.0
backdoor = BackdoorPatch(patch.ravel(), target=0, rate=0.05)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for ax, (title, scoring) in zip(
    axes,
    {"Accuracy, clean": "accuracy", "Called 0 with the corner": backdoor.success_rate}.items(),
    strict=True,
):
    curve = robustness_curve(
        net,
        X,
        y,
        attacks={"clean": None, "backdoor": backdoor},
        param_name="module__width",
        param_range=[4, 32, 256],
        test=(X_test, y_test),
        cv=3,
        scoring=scoring,
        random_state=0,
    )
    RobustnessCurveDisplay.from_curve(curve, ax=ax)
    ax.set_title(title)

# %%
# The second attack needs no patch and changes no label. It moves 10% of the rows, so that training
# on them teaches the net to call one unchanged test row another digit. Noise of the same size does
# not.
for row in range(4):
    aim = X_test[[row]], [(y_test[row] + 1) % 10]
    attack = GradientMatching(net, aim, budget=2.0, random_state=row)
    noise = RandomNoise(norm="l2,inf", budget=2.0, random_state=row)
    found = attack.poison(X, y)
    noise.set_params(norms=attack.perturbation_norms_)
    hits, accuracy = {}, {}
    for name, data in {"matching": found, "noise": noise.poison(X, y)}.items():
        victim = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=20, random_state=99)
        hits[name] = attack.success_rate(victim.fit(*data))
        accuracy[name] = round(victim.score(X_test, y_test), 3)
    print(f"a {y_test[row]} called {aim[1][0]}: {hits}; accuracy {accuracy}")
