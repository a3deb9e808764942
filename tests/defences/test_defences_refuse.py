"""What defences refuse, and in which words."""

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from makers import HOLED, IMAGES, NAN, NARROW, X, Y, parted, trimmed
from refusals import Refusals, check_refused

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
# A partition may have one class, and so may the whole.
TABLE.refuse_bad_data("parted", lambda X, y: parted().fit(X, y), one_class_is_good=True)
TABLE.refuse_bad_data("trimmed", lambda X, y: trimmed().fit(X, y))
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


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
