"""What must work wherever skpoison is installed: run by .ci/smoke without the source at hand."""

import importlib.metadata
from pathlib import Path

from sklearn.datasets import load_digits

import skpoison
from skpoison import MLP, CleanLabelPGA, LabelFlip, NetClassifier, robustness_curve
from skpoison.testing import check_attack

folder = Path(skpoison.__file__).parent
assert folder.parent.name == "site-packages", folder
assert (folder / "py.typed").exists()
assert importlib.metadata.version("skpoison") == skpoison.__version__

X, y = load_digits(return_X_y=True)
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=5)
curve = robustness_curve(
    net,
    X[:500] / 16,
    y[:500],
    attacks={
        "clean": None,
        "B": CleanLabelPGA(net, norm="l2,inf", budget=1.0, max_iter=20),
        "C": LabelFlip(0.4),
    },
    param_name="module__width",
    param_range=[4, 64],
    cv=3,
    random_state=0,
)
assert curve.scores["clean"][1].mean() > curve.scores["B"][1].mean()
assert curve.scores["clean"][1].mean() > curve.scores["C"][1].mean()
check_attack(LabelFlip(0.4))
