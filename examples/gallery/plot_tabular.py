"""
A table and a linear model
==========================

Capacity is not only width: a weaker penalty (a larger C) also lets a model fit more. On clean
labels a linear model of the breast cancer table is best at C = 1. With 30% of the labels flipped it
is best at C = 0.01, because a model that can fit more fits more flips. With poisoned features its
accuracy falls from 0.65 at C = 0.001 to 0.29 at C = 100, below chance. Noise of that size does
little.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skpoison import (
    CleanLabelPGA,
    LabelFlip,
    RandomNoise,
    RobustnessCurveDisplay,
    robustness_curve,
)

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X = MinMaxScaler().set_output(transform="pandas").fit_transform(X)
y = y.map({0: "malignant", 1: "benign"})

# %%
# DataFrames stay DataFrames, and labels may be strings. The attack on features has a logistic
# regression as its surrogate. It moves each row by at most 0.5 in the unit box of 30 features.
victim = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
curve = robustness_curve(
    victim,
    X,
    y,
    attacks={
        "clean": None,
        "noise": RandomNoise(norm="l2,inf", budget=0.5),
        "features, B = 0.5": CleanLabelPGA(LogisticRegression(C=10), norm="l2,inf", budget=0.5),
        "labels, 30%": LabelFlip(0.3),
    },
    param_name="logisticregression__C",
    param_range=[1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0],
    n_repeats=2,
    random_state=0,
)
display = RobustnessCurveDisplay.from_curve(curve, score_name="Accuracy on clean data")
display.ax_.set_xlabel("C: inverse strength of the penalty")
display.ax_.legend(loc="lower left")

# %%
curve.to_frame().pivot_table("score", "logisticregression__C", "attack", sort=False).round(3)
