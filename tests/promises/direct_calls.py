"""Digests of what direct calls and studies compute: ``python direct_calls.py CORES [whole]``.

The suite pins torch to one thread, so `test_threads.py` runs this in processes of their own.
"""

import hashlib
import json
import os
import sys
import warnings

import numpy as np
from joblib import parallel_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    MLP,
    ActivationClustering,
    CleanLabelPGA,
    FilteredClassifier,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    NeighbourVote,
    NetClassifier,
    PartitionEnsemble,
    PoisonedClassifier,
    fit_many,
    robustness_curve,
    theory,
    use_threads,
)

RNG = np.random.default_rng(0)
# Large enough that BLAS and torch use all threads that they have.
X, Y = RNG.random((600, 300)), RNG.integers(0, 10, 600)
LINEAR = LogisticRegression(max_iter=5)  # Stopped early, it shows differences of rounding.
NET = NetClassifier(MLP, module__width=256, batch_size=300, max_epochs=2, random_state=0)
PGA = CleanLabelPGA(LINEAR, budget=5.0, max_iter=3, random_state=0)
FITS = {
    "net": NET,
    "trimmed": LossTrimming(LINEAR, n_rounds=1, random_state=0),
    "parts": PartitionEnsemble(LINEAR, 2, random_state=0),
    "clusters": FilteredClassifier(LINEAR, ActivationClustering(NET, random_state=0)),
    "vote": FilteredClassifier(LINEAR, NeighbourVote()),
}
ATTACKS = {
    "pga": PGA,
    "pga on a net": CleanLabelPGA(NET, budget=5.0, max_iter=2, random_state=0),
    "match": GradientMatching(LINEAR, (X[:2], Y[2:4]), max_iter=2, random_state=0),
    "flip": LabelFlip(0.3, selection="loss", surrogate=LINEAR, random_state=0),
}


def digest(*arrays):
    parts = [np.ascontiguousarray(array).tobytes() for array in arrays]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def direct():
    """Digests of calls outside a study, by name."""
    found = {name: digest(clone(m).fit(X, Y).predict_proba(X)) for name, m in FITS.items()}
    nets = fit_many([clone(NET) for _ in range(2)], [(X, Y)] * 2, fused=True)
    found["fit_many"] = digest(*(net.predict_proba(X) for net in nets))
    found["partial_fit"] = digest(clone(NET).partial_fit(X, Y).predict_proba(X))
    for name, attack in ATTACKS.items():
        found[name] = digest(*clone(attack).poison(X, Y))
    found["fit_transform"] = digest(clone(PGA).fit_transform(X, Y))
    options = {"n_directions": 500, "max_iter": 3, "random_state": 0}
    found["margin"] = repr(theory.ntk_margin(X[:200], np.where(Y[:200] % 2, 1, -1), **options))
    return found


def studies():
    """Digests of studies of one attack on a linear surrogate, by jobs and backend."""
    found = {}
    for n_jobs in (1, 2):
        for backend in ("loky", "threading"):
            with parallel_config(backend):
                victim = PoisonedClassifier(DecisionTreeClassifier(random_state=0), PGA)
                folds = cross_validate(victim, X, Y, cv=2, n_jobs=n_jobs)["test_score"]
                curve = robustness_curve(
                    LogisticRegression(),
                    X,
                    Y,
                    attacks={"pga": PGA},
                    param_name="max_iter",
                    param_range=[3],
                    cv=2,
                    random_state=0,
                    n_jobs=n_jobs,
                )
            found[f"{n_jobs} {backend}"] = digest(folds, curve.scores["pga"])
    return found


if __name__ == "__main__":
    os.sched_setaffinity(0, range(int(sys.argv[1])))
    warnings.simplefilter("ignore")
    found = {"one": direct()}
    if "whole" in sys.argv:
        with use_threads(2):
            found["two"] = direct()
        found["studies"] = studies()
    sys.stdout.write(json.dumps(found))
