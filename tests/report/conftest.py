"""One report that many tests look at."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.tree import DecisionTreeClassifier

from skpoison import robustness_report


@pytest.fixture(scope="session")
def wine():
    """A frame of 90 rows and 13 columns, and their labels, which are words."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    rows = X.index[::2]
    names = pd.Series(["red", "white", "<i>rosé</i> & co"])
    return X.loc[rows].reset_index(drop=True), y.loc[rows].map(names).reset_index(drop=True)


@pytest.fixture(scope="session")
def trees():
    """Two victims; one has a name that would be markup if it were not escaped."""
    return {
        "tree": DecisionTreeClassifier(max_depth=4),
        '<b>"stump"</b>': DecisionTreeClassifier(max_depth=1),
    }


@pytest.fixture(scope="session")
def report(trees, wine):
    """A report of both victims under the default attacks."""
    strengths = {"flips at random": [0.2, 0.4], "flips by loss": [0.4]}
    strengths |= {"noise": [4.0], "gradient ascent": [4.0]}
    found = robustness_report(trees, *wine, strengths=strengths, cv=3, random_state=0)
    plt.close("all")
    return found
