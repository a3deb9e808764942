"""What defences refuse, and in which words."""

import re
import warnings

import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from makers import HOLED, IMAGES, NAN, NARROW, X, Y, parted, trimmed
from refusals import BAD_X, BAD_Y, Refusals, check_refused

TABLE = Refusals()
refuse, refuse_each = TABLE.refuse, TABLE.refuse_each

TABLE.refuse_all_but_reals_from_0("trimmed.fraction", lambda v: trimmed(v).fit(X, Y))
refuse_each(
    "trimmed.fraction",
    lambda v: trimmed(v).fit(X, Y),
    [1, 1.0, 7.5],
    ValueError,
    "`fraction` must be < 1, got ",
)
TABLE.refuse_all_but_integers_from_1("trimmed.n_rounds", lambda v: trimmed(n_rounds=v).fit(X, Y))
TABLE.refuse_all_but_integers_from_1("parted.n_partitions", lambda v: parted(v).fit(X, Y))
TABLE.refuse_all_but_integers_from_1("parted.spread", lambda v: parted(spread=v).fit(X, Y))
refuse_each(
    "parted.vote",
    lambda v: parted(vote=v).fit(X, Y),
    ["Majority", "plurality", None, 1],
    ValueError,
    "`vote` must be one of 'majority', 'run-off', got {}",
)
refuse_each(
    "parted.certify.change",
    lambda v: FITTED_PARTED.certify(X, v),
    ["labels", "Any", None, 1],
    ValueError,
    "`change` must be one of 'any', 'label', got {}",
)
refuse_each(
    "parted.certify.return_predictions",
    lambda v: FITTED_PARTED.certify(X, return_predictions=v),
    [1, None, "yes"],
    TypeError,
    "`return_predictions` must be True or False, got {}",
)
refuse_each(
    "parted.fused",
    lambda v: parted(fused=v).fit(X, Y),
    [1, 0, "auto", None],
    TypeError,
    "`fused` must be True or False, got {}",
)
for name, make in {"parted": parted, "trimmed": trimmed}.items():
    TABLE.refuse_all_but_seeds(
        f"{name}.random_state", lambda v, m=make: m(random_state=v).fit(X, Y)
    )
    refuse_each(
        f"{name}.estimator",
        lambda v, m=make: m(estimator=v).fit(X, Y),
        [3, None, LogisticRegression, StandardScaler()],
        TypeError,
        "`estimator` must be a classifier",
    )
refuse(
    "trimmed: no probabilities", lambda: trimmed(estimator=LinearSVC()).fit(X, Y), TypeError, "`p"
)


def refusal_of(call):
    """The error that a call raises, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return error


# Rows go to the estimator as they are, so it says what is wrong with them, but for these.
NO_ROWS = "X must have at least one row"
OWN_WORDS = {
    **{what: (ValueError, NO_ROWS) for what in ("no rows", "no images")},
    "no axis": (TypeError, "at least 1 dimension .* got scalar"),
    "a number": (TypeError, "Expected sequence or array-like, got .*float"),
    "None": (TypeError, "Expected sequence or array-like, got .*NoneType"),
    "a word": (TypeError, "X must be a table or a list of rows, got a str"),
    "same column names": (ValueError, "Expected unique column names"),
    "mixed column names": (TypeError, "Feature names are only supported if all input features"),
    # The hash reads the rows before the estimator does.
    "parted: records": (ValueError, "Expected 2D array, got 1D array"),
    "parted: empty images": (ValueError, r"0 feature\(s\)"),
    "parted: complex images": (ValueError, "Complex data not supported"),
    "parted: too large": (ValueError, "X must have values that float64 can hold"),
}
GOOD = []
for what, (value, *_) in BAD_X.items():
    if what in ("words", "bytes"):
        continue  # LogisticRegression takes them in `fit`, and refuses them in `predict`.
    alone = refusal_of(lambda v=value: LogisticRegression().fit(v, Y))
    for name, make in {"parted": parted, "trimmed": trimmed}.items():
        own = OWN_WORDS.get(what) or OWN_WORDS.get(f"{name}: {what}")
        if own is None and alone is None:
            GOOD.append((name, what))
        else:
            error, words = own or (type(alone), re.escape(str(alone)))
            words = words.replace("LogisticRegression", r"\w+")
            refuse(f"{name}: X {what}", lambda m=make, v=value: m().fit(v, Y), error, words)
for what, (value, error, words) in BAD_Y.items():
    # A partition may have one class, and so may the whole.
    if not what.startswith("one class"):
        refuse(f"parted: y {what}", lambda v=value: parted().fit(X, v), error, words)
    refuse(f"trimmed: y {what}", lambda v=value: trimmed().fit(X, v), error, words)
FITTED_PARTED, FITTED_TRIMMED = parted().fit(X, Y), trimmed().fit(X, Y)
for name, model in {"parted": FITTED_PARTED, "trimmed": FITTED_TRIMMED}.items():
    for method in ("predict", "predict_proba", "certify", "votes"):
        if not hasattr(model, method):
            continue
        call = getattr(model, method)
        refuse(f"{name}.{method}: NaN", lambda c=call: c(HOLED[NAN]), ValueError, "contains NaN")
        refuse(f"{name}.{method}: narrow", lambda c=call: c(NARROW), ValueError, "X has 3 features")
        refuse(
            f"{name}.{method}: images", lambda c=call: c(IMAGES), ValueError, r"rows of shape \(6,"
        )
        unfitted = getattr(clone(model), method)
        refuse(f"{name}.{method}: unfitted", lambda c=unfitted: c(X), NotFittedError, "not fitted")


@pytest.mark.parametrize(("name", "what"), GOOD)
def test_rows_that_the_estimator_takes_are_taken(name, what):
    make = {"parted": parted, "trimmed": trimmed}[name]
    X_good = BAD_X[what][0]
    assert make().fit(X_good, Y).score(X_good, Y) > 0.25


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
