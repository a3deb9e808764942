"""What `SmoothedLabelClassifier` refuses, and in which words."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from makers import HOLED, IMAGES, INF, NAN, NARROW, X, Y, keep
from refusals import BAD_X, BAD_Y, Refusals, check_refused
from skpoison import SmoothedLabelClassifier

TABLE = Refusals()
refuse, refuse_each = TABLE.refuse, TABLE.refuse_each


def smoothed(**kwargs):
    return SmoothedLabelClassifier(**kwargs)


TABLE.refuse_all_but_reals_from_0("smoothed.alpha", lambda v: smoothed(alpha=v).fit(X, Y))
refuse_each(
    "smoothed.noise",
    lambda v: smoothed(noise=v).fit(X, Y),
    ["0.1", None, True, [0.1], 1j],
    TypeError,
    "`noise` must be a real number, got {}",
)
refuse_each(
    "smoothed.noise",
    lambda v: smoothed(noise=v).fit(X, Y),
    [0, 0.0, -0.1, 0.75, 1, 2.5],
    ValueError,
    "`noise` must be > 0 and < 0.75 for 4 classes, got ",
)
refuse_each(
    "smoothed.noise",
    lambda v: smoothed(noise=v).fit(X, Y),
    [NAN, INF],
    ValueError,
    "`noise` must be finite, got {}",
)
refuse(
    "smoothed.noise: two classes",
    lambda: smoothed(noise=0.5).fit(X, Y % 2),
    ValueError,
    "`noise` must be > 0 and < 0.5 for 2 classes, got 0.5: a label must keep itself more often",
)
refuse_each(
    "smoothed.fit_intercept",
    lambda v: smoothed(fit_intercept=v).fit(X, Y),
    [1, 0, "auto", None],
    TypeError,
    "`fit_intercept` must be True or False, got {}",
)
FITTED = smoothed().fit(X, Y)
refuse_each(
    "smoothed.bound",
    lambda v: FITTED.certify(X, bound=v),
    ["loose", None, 3, "Tight"],
    ValueError,
    "`bound` must be one of 'tight', 'closed_form', 'exact', got {}",
)
HUGE = keep(X * 1e200)
refuse(
    "smoothed: huge",
    lambda: smoothed().fit(HUGE, Y),
    ValueError,
    "X must have features whose squares float64 can hold",
)
for what, (value, error, words) in BAD_X.items():
    refuse(f"smoothed: X {what}", lambda v=value: smoothed().fit(v, Y), error, words)
for what, (value, error, words) in BAD_Y.items():
    if not what.startswith("one class"):
        refuse(f"smoothed: y {what}", lambda v=value: smoothed().fit(X, v), error, words)
for method in ("predict", "certify", "log_error_bound"):
    call, unfitted = getattr(FITTED, method), getattr(smoothed(), method)
    refuse(f"smoothed.{method}: NaN", lambda c=call: c(HOLED[NAN]), ValueError, "contains NaN")
    refuse(f"smoothed.{method}: narrow", lambda c=call: c(NARROW), ValueError, "X has 3 features")
    refuse(
        f"smoothed.{method}: images", lambda c=call: c(IMAGES), ValueError, r"rows of shape \(6,"
    )
    refuse(
        f"smoothed.{method}: unfitted", lambda c=unfitted: c(X), NotFittedError, "not fitted yet"
    )


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = smoothed().fit(X, Y)
    before = model.predict(X)
    for bad_X, bad_y in ((HUGE, Y), (X, Y[:5]), (HOLED[NAN], Y)):
        with pytest.raises(ValueError, match=r"must|NaN"):
            model.fit(bad_X, bad_y)
    model.noise = 0.9
    with pytest.raises(ValueError, match=r"`noise` must be > 0 and < 0\.75"):
        model.fit(X, Y)
    assert (model.predict(X) == before).all()


def test_weights_of_rows_are_refused():
    with pytest.raises(TypeError, match="sample_weight"):
        smoothed().fit(X, Y, sample_weight=np.ones(40))


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
