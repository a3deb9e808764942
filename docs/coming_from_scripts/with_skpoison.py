from sklearn.datasets import load_digits

from skpoison import MLP, LabelFlip, NetClassifier, RobustnessCurveDisplay

X, y = load_digits(return_X_y=True)
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=20)
attacks = {"clean": None, "30% flipped": LabelFlip(0.3)}
study = {"param_name": "module__width", "param_range": [4, 64, 1024], "random_state": 0}
display = RobustnessCurveDisplay.from_estimator(
    net, X / 16, y, attacks=attacks, std_display_style="errorbar", **study
)
display.figure_.savefig("curve.png")
