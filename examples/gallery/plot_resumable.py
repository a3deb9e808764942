"""
A study that was killed goes on
===============================

A study of 30 fits is interrupted after 50 of its 60 scores. When it is run again with the same
``memory``, it computes only 20 scores, for the nets that were being trained together; a third run
computes none. The result is the same as without the interruption, to the last bit.
"""

import tempfile
import time

from sklearn.datasets import load_digits

from skpoison import MLP, LabelFlip, NetClassifier, RobustnessCurveDisplay, robustness_curve

X, y = load_digits(return_X_y=True)
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=10)
study = {
    "attacks": {"clean": None, "30% flipped": LabelFlip(0.3)},
    "param_name": "module__width",
    "param_range": [4, 32, 256],
    "random_state": 0,
}

# %%
# ``memory`` keeps each finished fit in a folder. Here a scorer stops the first run, as Ctrl-C
# would. Its code stays the same: results of an edited scorer are computed again.
folder = tempfile.TemporaryDirectory()
calls = 0


def accuracy(estimator, X, y):
    global calls
    calls += 1
    if calls == 50:
        raise KeyboardInterrupt
    return (estimator.predict(X) == y).mean()


def timed_run():
    start = time.perf_counter()
    try:
        curve = robustness_curve(net, X / 16, y, scoring=accuracy, memory=folder.name, **study)
    except KeyboardInterrupt:
        curve = None
    print(f"{calls:3d} scores computed so far, {time.perf_counter() - start:.2f} s")
    return curve


timed_run()
curve = timed_run()
timed_run()

# %%
# A study without interruptions gives the same scores.
whole = robustness_curve(net, X / 16, y, **study)
print({name: bool((whole.scores[name] == curve.scores[name]).all()) for name in whole.scores})
RobustnessCurveDisplay.from_curve(curve, score_name="Accuracy on clean data")
folder.cleanup()
