"""
Pipelines and grid searches
===========================

The place of the attack in a Pipeline decides what is attacked. With 40% of the labels flipped, a
grid search whose validation folds stay clean finds that 45 neighbours are best (0.81 on test rows).
A search that is itself given poisoned data sees almost no difference between 1 and 85 neighbours,
and chooses 15 (0.75).
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skpoison import LabelFlip, PoisonedClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
attack = LabelFlip(0.4, random_state=0)
grid = {"n_neighbors": [1, 3, 5, 9, 15, 25, 45, 85]}

# %%
# The attack is inside the search: every candidate is trained on poisoned rows and judged on clean
# rows. This is how to study a victim. The victim itself cannot do it, having no clean rows.
inside = GridSearchCV(
    make_pipeline(MinMaxScaler(), PoisonedClassifier(KNeighborsClassifier(), attack)),
    {f"poisonedclassifier__estimator__{name}": values for name, values in grid.items()},
)
inside.fit(X_train, y_train)

# %%
# The attack is outside the search, so the search itself is the victim. It cuts its folds from
# poisoned data, so candidates are judged by poisoned labels too.
outside = PoisonedClassifier(
    GridSearchCV(
        make_pipeline(MinMaxScaler(), KNeighborsClassifier()),
        {f"kneighborsclassifier__{name}": values for name, values in grid.items()},
    ),
    attack,
)
outside.fit(X_train, y_train)

# %%
fig, ax = plt.subplots()
for name, search in {
    "judged on clean folds": inside,
    "judged on poisoned folds": outside.estimator_,
}.items():
    means = search.cv_results_["mean_test_score"]
    ax.plot(grid["n_neighbors"], means, marker="o", label=name)
    print(f"{name}: {search.best_params_}, clean test accuracy", end=" ")
    print(f"{(inside if search is inside else outside).score(X_test, y_test):.3f}")
ax.set(xlabel="Neighbours", ylabel="Accuracy in the search", ylim=(0, 1))
ax.legend()

# %%
# The diagram of the first search:
inside
