"""
A first curve
=============

When 30% of the training labels are flipped, a net of 64 units is better than a net of 2 *and* than
a net of 2048 units. It is better than the widest by 0.05, with a 95% interval from 0.01 to 0.09. On
clean labels wider nets are no worse.
"""

from sklearn.datasets import load_digits
from skorch.callbacks import LRScheduler

from skpoison import MLP, LabelFlip, NetClassifier, RobustnessCurveDisplay, robustness_curve

X, y = load_digits(return_X_y=True)
decay = LRScheduler(policy="CosineAnnealingLR", T_max=30)
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=30, callbacks=[("decay", decay)])

# %%
# The study trains a net of every width on every fold, with clean labels and with 30% of the
# training labels moved to the next class. It scores the nets on clean rows that were held out.
curve = robustness_curve(
    net,
    X / 16,
    y,
    attacks={"clean": None, "30% flipped": LabelFlip(0.3)},
    param_name="module__width",
    param_range=[2, 4, 16, 64, 256, 2048],
    random_state=0,
)
curve

# %%
# The bands are one standard deviation over the five folds.
RobustnessCurveDisplay.from_curve(curve, score_name="Accuracy on clean data")

# %%
# How far both ends lie under the peak, as paired differences with 95% intervals that allow for
# folds that share training rows:
for name in curve.scores:
    shape = curve.u_shape(name)
    print(f"{name}: best width {shape.peak.param}, {shape.verdict()}")
    print(f"  the narrowest lies {shape.left} under the best of the others")
    print(f"  the widest lies {shape.right} under the best of the others")
