"""What nets refuse, and in which words."""

import re

import numpy as np
import scipy.sparse
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from makers import FRAME, HOLED, IMAGES, INSTANCE, NAN, NARROW, X, Y, net, stopping
from refusals import Refusals, check_refused
from skpoison import MLP, MnistConvNet, fit_many


class NoForward(MLP):
    def forward(self, X):
        raise ZeroDivisionError("the module broke")


TABLE = Refusals()
refuse, refuse_each = TABLE.refuse, TABLE.refuse_each

# Numbers and choices: wrong kinds and wrong values.

TABLE.refuse_all_but_reals_from_0("net.lr", lambda v: net(lr=v).fit(X, Y))
for name, call in {
    "net.batch_size": lambda v: net(batch_size=v).fit(X, Y),
    "net.n_iter_no_change": lambda v: stopping(n_iter_no_change=v).fit(X, Y),
}.items():
    TABLE.refuse_all_but_integers_from_1(name, call)
for few, error, words in [
    ([-1, np.int64(-7)], ValueError, "`max_epochs` must be >= 0, got {}"),
    (["1", None, True, 1.5, 2.0], TypeError, "`max_epochs` must be an integer, got {}"),
]:
    refuse_each("net.max_epochs", lambda v: net(max_epochs=v).fit(X, Y), few, error, words)
TABLE.refuse_all_but_reals_between_0_and_1(
    "net.validation_fraction", lambda v: net(validation_fraction=v).fit(X, Y)
)
TABLE.refuse_all_but_seeds("net.random_state", lambda v: net(random_state=v).fit(X, Y))
for word in ("drop_last", "early_stopping"):
    refuse_each(
        f"net.{word}",
        lambda v, w=word: net(**{w: v}).fit(X, Y),
        [1, 0, "x", None],
        TypeError,
        f"`{word}` must be True or False, got {{}}",
    )
refuse_each(
    "fit_many.fused",
    lambda v: fit_many([net()], [(X, Y)], fused=v),
    ["x", None, 1],
    ValueError,
    "`fused` must be one of 'auto', got {}",
)

# Data.

TABLE.refuse_bad_data("net", lambda X, y: net().fit(X, y))
TABLE.refuse_bad_data("net.partial_fit", lambda X, y: net().partial_fit(X, y))
TABLE.refuse_bad_data("fit_many", lambda X, y: fit_many([net(), net()], [(X, y)] * 2))

# Fits and predictions.

for value in (None, 3, "MLP", INSTANCE, torch.nn.Linear(6, 4)):
    refuse(
        f"net.module={value!r}"[:40].replace("\n", ""),
        lambda v=value: net(module=v).fit(X, Y),
        TypeError,
        "`module` must be a class or a function that returns a torch.nn.Module, got an instance of",
    )
for name, call, error, words in [
    ("rows for the module", lambda: net(module=MnistConvNet).fit(X, Y), ValueError, "784 .* got 6"),
    ("typo", lambda: net(modul__width=3).fit(X, Y), ValueError, "modul__width"),
    ("typo in the module", lambda: net(module__witdh=3).fit(X, Y), TypeError, "argument 'witdh'"),
    ("typo in set_params", lambda: net().set_params(widht=3), ValueError, "'widht'"),
    ("depth", lambda: net(module__depth=0).fit(X, Y), ValueError, "`depth` must be .*>= 1, got 0"),
    ("momentum", lambda: net(optimizer__momentum=-1).fit(X, Y), ValueError, "momentum value: -1"),
    (
        "batch_size=-2",
        lambda: net(batch_size=-2).fit(X, Y),
        ValueError,
        "`batch_size` must be >= 1",
    ),
    ("callbacks", lambda: stopping(callbacks="disable").fit(X, Y), ValueError, "`callbacks` must"),
    ("classes", lambda: net(classes=[0, 1]).fit(X, Y), ValueError, r"\(\[0, 1\]\), got \[2, 3\]"),
    ("no classes", lambda: net(classes=[]).fit(X, Y), ValueError, "at least 2 classes"),
    (
        "classes of another kind",
        lambda: net(classes=["a", "b"]).fit(X, Y),
        ValueError,
        r"only labels in `classes_` of this NetClassifier \(\['a', 'b'\]\), got \[0, 1, 2, 3\]",
    ),
    (
        "partial_fit classes",
        lambda: net().partial_fit(X, Y, classes=[0, 1]),
        ValueError,
        r"only labels in `classes_` of this NetClassifier \(\[0, 1\]\), got \[2, 3\]",
    ),
    (
        "partial_fit new label",
        lambda: net().fit(X, Y).partial_fit(X, Y + 1),
        ValueError,
        r"only labels in `classes_` .* got \[4\]",
    ),
    (
        "partial_fit features",
        lambda: net().fit(X, Y).partial_fit(NARROW, Y),
        ValueError,
        "X has 3 features, but NetClassifier is expecting 6",
    ),
    (
        "warm start features",
        lambda: net(warm_start=True).fit(X, Y).fit(NARROW, Y),
        ValueError,
        "X has 3 features, but NetClassifier is expecting 6",
    ),
    (
        "hold-out smaller than the classes",
        lambda: stopping(validation_fraction=0.1).fit(X[:8], Y[:8]),
        ValueError,
        "test_size = 1 should be greater or equal to the number of classes = 4",
    ),
    (
        "hold-out of all rows",
        lambda: stopping(validation_fraction=0.999).fit(X, Y),
        ValueError,
        "test_size=0.999 .* train set will be empty",
    ),
    (
        "early stopping without a row to spare",
        lambda: stopping().fit(X[:4], [0, 1, 2, 3]),
        ValueError,
        r"`early_stopping` must hold out rows of each class, got 4 rows .* or `X_val` and `y_val`",
    ),
    ("X_val alone", lambda: stopping().fit(X, Y, X_val=X), ValueError, "`X_val` and `y_val` must"),
    ("y_val alone", lambda: stopping().fit(X, Y, y_val=Y), ValueError, "`X_val` and `y_val` must"),
    (
        "X_val without early stopping",
        lambda: net().fit(X, Y, X_val=X, y_val=Y),
        ValueError,
        "`X_val` must come with `early_stopping=True`, got False",
    ),
    (
        "X_val features",
        lambda: stopping().fit(X, Y, X_val=NARROW, y_val=Y),
        ValueError,
        "X has 3 features, but NetClassifier is expecting 6",
    ),
    (
        "X_val images",
        lambda: stopping().fit(X, Y, X_val=IMAGES, y_val=Y),
        ValueError,
        r"rows of shape \(6,\), as in the fit of NetClassifier, got \(1, 2, 3\)",
    ),
    ("X_val NaN", lambda: stopping().fit(X, Y, X_val=HOLED[NAN], y_val=Y), ValueError, "NaN"),
    ("X_val empty", lambda: stopping().fit(X, Y, X_val=X[:0], y_val=Y[:0]), ValueError, "0 sample"),
    ("y_val short", lambda: stopping().fit(X, Y, X_val=X, y_val=Y[:3]), ValueError, "40 .* got 3"),
    (
        "y_val new label",
        lambda: stopping().fit(X, Y, X_val=X, y_val=Y + 1),
        ValueError,
        r"only labels in `classes_` .* got \[4\]",
    ),
    *(
        (
            f"device {device}",
            lambda device=device: net(device=device).fit(X, Y),
            ValueError,
            f"`device` must be 'auto' or a device .* got {re.escape(repr(device))}: ",
        )
        for device in ("cuda:99", "cuda:-1", "cpu:1", "meta", "xla", "gpu", "", 99, -1, None, [])
    ),
    ("fit parameter", lambda: net().fit(X, Y, sample_weight=1), TypeError, "'sample_weight'"),
    ("module breaks", lambda: net(module=NoForward).fit(X, Y), ZeroDivisionError, "module broke"),
    ("predict unfitted", lambda: net().predict(X), NotFittedError, "not .*yet"),
    ("proba unfitted", lambda: net().predict_proba(X), NotFittedError, "not .*yet"),
    ("score unfitted", lambda: net().score(X, Y), NotFittedError, "not .*yet"),
    ("logits unfitted", lambda: net().logits(torch.zeros(2, 6)), NotFittedError, "not .*yet"),
]:
    refuse(f"net: {name}", call, error, words)
FITTED = net().fit(X, Y)
FITTED_ON_IMAGES = net().fit(IMAGES, Y)
FITTED_ON_FRAME = net().fit(FRAME, Y)
for name, call, error, words in [
    ("features", lambda: FITTED.predict(NARROW), ValueError, "X has 3 features, but NetClassifier"),
    ("images", lambda: FITTED.predict(IMAGES), ValueError, r"shape \(6,\), .* got \(1, 2, 3\)"),
    ("flat", lambda: FITTED_ON_IMAGES.predict(X), ValueError, r"\(1, 2, 3\), .* got \(6,\)"),
    (
        "other axes",
        lambda: FITTED_ON_IMAGES.predict(X.reshape(40, 2, 3, 1)),
        ValueError,
        r"rows of shape \(1, 2, 3\), as in the fit of NetClassifier, got \(2, 3, 1\)",
    ),
    ("one row", lambda: FITTED.predict(X[0]), ValueError, "Expected 2D array, got 1D array"),
    ("no rows", lambda: FITTED.predict(X[:0]), ValueError, "0 sample"),
    ("NaN", lambda: FITTED.predict(HOLED[NAN]), ValueError, "contains NaN"),
    ("sparse", lambda: FITTED.predict(scipy.sparse.csr_array(X)), TypeError, "[Ss]parse"),
    ("words", lambda: FITTED.predict(X.astype(str)), ValueError, "bytes/strings"),
    ("None", lambda: FITTED.predict(None), ValueError, "Expected 2D array, got scalar"),
    (
        "order of names",
        lambda: FITTED_ON_FRAME.predict(FRAME[list("bacdef")]),
        ValueError,
        "feature names should match",
    ),
    ("short y", lambda: FITTED.score(X, Y[:3]), ValueError, "inconsistent numbers of samples"),
    ("y None", lambda: FITTED.score(X, None), ValueError, "y_true.* Got None"),
    ("words for y", lambda: FITTED.score(X, Y.astype(str)), ValueError, "Mix of label input types"),
]:
    refuse(f"predict: {name}", call, error, words)
for name, nets, data, error, words in [
    ("too few data", [net(), net()], [(X, Y)], ValueError, "a tuple for each of 2 nets, got 1"),
    ("not a net", [net(), LogisticRegression()], [(X, Y)] * 2, TypeError, "`nets` must be instanc"),
    ("one twice", [FITTED, FITTED], [(X, Y)] * 2, ValueError, "`nets` must be different objects"),
    ("bad parameter", [net(), net(lr=-1)], [(X, Y)] * 2, ValueError, "`lr` must be >= 0, got -1"),
]:
    refuse(f"fit_many: {name}", lambda n=nets, d=data: fit_many(n, d), error, words)


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
