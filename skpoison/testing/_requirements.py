"""The requirements on an attack: each check takes a `Case`, and raises an AssertionError."""

import pickle
import random

import numpy as np
import torch
from scipy.stats import t as student_t
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from .._seeding import seed_estimator
from ..attacks import RandomNoise
from ..study import PoisonedClassifier


def row_norms(X):
    """The Euclidean norm of each row, (n,), in float64."""
    return np.linalg.norm(X.reshape(len(X), -1).astype(np.float64), axis=1)


def check_untouched(case):
    """The caller's arrays keep their bytes, and new arrays do not share their memory.

    An attack on labels does not change X, and may return X itself.
    """
    X, y = case.X.copy(), case.y.copy()
    X_poisoned, y_poisoned = case.fresh().poison(X, y)
    for mine, given, new, name in ((case.X, X, X_poisoned, "X"), (case.y, y, y_poisoned, "y")):
        case.require_equal(
            mine, given, "leave the caller's data alone", f"`poison` wrote to {name}"
        )
        is_same = name == "X" and new is given
        shares = not is_same and np.may_share_memory(given, new)
        case.require(not shares, "return new arrays", f"{name} shares memory with the caller's")


def check_rows(case):
    """Rows keep their number and dtype, and `poison_indices_` lists the rows that changed."""
    for dtype in (np.float32, np.float64):
        X, attack = case.X.astype(dtype), case.fresh()
        X_new, y_new = attack.poison(X, case.y)
        case.require(X_new.shape == X.shape, "keep the shape of X", f"made {X_new.shape} of it")
        case.require(len(y_new) == len(case.y), "keep the length of y", f"returned {len(y_new)}")
        case.require(X_new.dtype == dtype, f"keep the dtype {dtype.__name__}", X_new.dtype)
        case.require(y_new.dtype == case.y.dtype, "keep the dtype of y", f"made it {y_new.dtype}")
        own = row_norms(X_new - X)
        changed = (own > 0) | (y_new != case.y)
        case.require_equal(
            getattr(attack, "poison_indices_", None),
            np.flatnonzero(changed),
            "list the rows that changed in `poison_indices_`",
            f"they are not the {changed.sum()} that did",
        )
        case.require(changed.any(), "change something", "no row is poisoned")
        names = np.asarray(getattr(attack, "classes_", None))
        case.require_equal(names, np.unique(case.y), "have the sorted labels in `classes_`", names)
        known = [
            name for name, value in vars(attack).items() if getattr(value, "shape", ()) == X.shape
        ]
        case.require(not known, "keep no copy of the data", f"{known} has their shape")


def check_seeds(case):
    """Equal seeds give equal bytes in any run, and no global generator is used or seeded."""
    # These draws move the global generators away from the state that an earlier run may have set:
    # otherwise an attack that seeds one would leave it as it was before.
    check_random_state(None).random_sample(), random.random(), torch.rand(1)
    before = _generators()
    attack = case.fresh()
    first = attack.poison(case.X, case.y)
    moved = [name for name, state in _generators().items() if state != before[name]]
    case.require(not moved, "leave the global random generators alone", f"{moved} moved")
    for again, how in ((attack, "run again"), (case.fresh(), "made anew")):
        for one, two in zip(first, again.poison(case.X, case.y), strict=True):
            case.require_equal(one, two, "give equal bytes for equal seeds", f"not when {how}")


def _generators():
    """The states of the global random generators."""
    kind, keys, *rest = check_random_state(None).get_state()
    return {
        "numpy's": (kind, keys.tobytes(), *rest),
        "Python's": random.getstate(),
        "torch's": torch.get_rng_state().numpy().tobytes(),
    }


def check_clone_and_pickle(case):
    """A fitted attack poisons the same after it was cloned or pickled."""
    attack = case.fresh()
    case.require(attack.fit(case.X, case.y) is attack, "return itself from `fit`", "did not")
    thawed = pickle.loads(pickle.dumps(attack))
    expected = case.fresh().poison(case.X, case.y)
    for other, how in ((thawed, "unpickled"), (clone(attack), "cloned")):
        for one, two in zip(expected, other.poison(case.X, case.y), strict=True):
            case.require_equal(one, two, "poison as before", f"not when {how}")


def check_budget(case):
    """The attack keeps its `norm`, `budget`, `clip`, `max_fraction` and exact rate.

    The budget is that of the rows as returned. So it is checked in single and half precision too
    and, if X lies in [0, 1], also on rows in [0, 255]: these round in larger steps.
    """
    _check_budget(case, case.X, case.fresh())
    params = case.attack.get_params(deep=False)
    if "budget" not in params or params.get("norm") not in ("l2,1", "l2,inf"):
        return
    scales = (1, 255) if 0 <= case.X.min() and case.X.max() <= 1 else (1,)
    for scale in scales:
        changes = {}
        if not isinstance(params.get("scale"), str):
            changes["budget"] = params["budget"] * scale
        if not isinstance(params.get("clip"), (str, type(None))):
            changes["clip"] = tuple(np.multiply(side, scale) for side in params["clip"])
        for dtype in (np.float32, np.float16):
            if np.abs(case.X).max() <= np.finfo(dtype).max:
                X = (case.X * scale).astype(dtype)
                _check_budget(case, X, case.fresh(X, case.y, **changes))


def _check_budget(case, X, attack):
    X_new, y_new = attack.poison(X, case.y)
    n, params = len(X), attack.get_params(deep=False)
    where = f" on {X.dtype} rows from {X.min():g} to {X.max():g}"
    delta = X_new.astype(np.float64) - X
    if params.get("scale") is not None:
        delta = _moving_columns(delta, attack) / attack.scale_
    norms = row_norms(delta)
    case.require_within_budget(norms, where, params)
    clip = params.get("clip")
    if clip is not None:
        is_range = isinstance(clip, str)
        low, high = (X.min(axis=0), X.max(axis=0)) if is_range else map(np.asarray, clip)
        slack = 1e-6 * np.maximum(np.abs(low), np.abs(high))
        own = _moving_columns(X_new, attack) if np.ndim(low) == 1 and not is_range else X_new
        case.require(
            (own >= low - slack).all() and (own <= high + slack).all(),
            f"keep X inside `clip` = {clip}",
            f"reached {X_new.min():.6g} to {X_new.max():.6g}{where}",
        )
    if "max_fraction" in params:
        share = np.count_nonzero(norms) / n
        rule = f"change at most `max_fraction` = {params['max_fraction']} of the rows"
        case.require(share <= params["max_fraction"] + 1e-9, rule, f"changed {share}{where}")
    if params.get("sampling") == "exact":
        flips, wanted = int((y_new != case.y).sum()), round(params["rate"] * n)
        case.require(flips == wanted, f"flip exactly {wanted} labels", f"flipped {flips}{where}")


def _moving_columns(X, attack):
    """The columns of X that an attack with `columns` could change, (n, k)."""
    return X.reshape(len(X), -1)[:, getattr(attack, "columns_", slice(None))]


def check_idle(case):
    """With the idle parameters the data stay unchanged."""
    attack = case.fresh(**case.idle)
    rule = f"change nothing with {case.idle}"
    data = case.X, case.y
    for new, old, name in zip(attack.poison(*data), data, "Xy", strict=True):
        case.require_equal(new, old, rule, f"{name} is another")
    case.require(len(attack.poison_indices_) == 0, rule, "`poison_indices_` is not empty")


def check_labels_of_any_kind(case):
    """Labels are only names: strings and numbers with gaps are poisoned like 0, 1, 2, ..."""
    classes, codes = np.unique(case.y, return_inverse=True)
    X_expected, expected = case.fresh(case.X, codes).poison(case.X, codes)
    names = np.array([f"class {i:03d}" for i in range(len(classes))])
    for kind, labels in (
        ("strings", names),
        ("objects", names.astype(object)),
        ("gaps", 7 * np.arange(len(classes)) - 20),
    ):
        X_new, y_new = case.fresh(case.X, labels[codes]).poison(case.X, labels[codes])
        rule, got = f"take labels that are {kind}", "treats them in another way"
        case.require_equal(y_new, labels[expected], rule, got)
        case.require_equal(X_new, X_expected, rule, got)


def check_refusals(case):
    """One label too few raises a ValueError and leaves the attack unfitted; so may NaN in X.

    An attack that takes NaN leaves it where it is.
    """
    X_bad = case.X.astype(np.float64)
    X_bad[0].flat[0] = np.nan
    for what, X, y in (("NaN in X", X_bad, case.y), ("one label too few", case.X, case.y[:-1])):
        attack = case.fresh()
        try:
            X_new, _ = attack.poison(X, y)
        except ValueError:
            case.require(
                not hasattr(attack, "poison_indices_"), f"stay unfitted after {what}", "did not"
            )
        else:
            case.require(X is X_bad, f"refuse {what} with a ValueError", "took it")
            own = np.isnan(np.asarray(X_new))
            case.require_equal(
                own, np.isnan(X_bad), "leave missing cells, and no others, missing", "did not"
            )


def check_columns(case):
    """`columns`, `scale`, `clip` and `whole` say which cells change, how far, and to which values.

    The check is for attacks that have these parameters of `BaseFeatureAttack`.
    """
    if not {"columns", "scale", "clip", "whole"} <= case.attack.get_params(deep=False).keys():
        return
    rows = case.X.reshape(len(case.X), -1).astype(np.float64)
    spread = rows.std(axis=0)
    chosen = np.flatnonzero(spread)[::2]

    def moved(X=case.X, **params):
        X_new, _ = case.fresh(X, case.y, columns=chosen, **params).poison(X, case.y)
        return X_new.reshape(len(rows), -1) - X.reshape(len(rows), -1)

    held = np.setdiff1d(np.arange(rows.shape[1]), chosen)
    for scale in (None, "std"):
        delta = moved(scale=scale, clip="range")
        rule = f"change only cells in `columns` with scale={scale!r}"
        case.require(not delta[:, held].any(), rule, "changed others")
        norms = row_norms(delta[:, chosen] / (1 if scale is None else spread[chosen]))
        case.require_within_budget(norms, f" in units of scale={scale!r}")
        new, slack = rows + delta, 1e-6 * np.abs(rows).max()
        is_inside = (new >= rows.min(axis=0) - slack) & (new <= rows.max(axis=0) + slack)
        case.require(is_inside.all(), "keep each column in its range with clip='range'", "left it")
    whole = np.rint(8 * case.X.astype(np.float64))
    chosen = np.flatnonzero(whole.reshape(len(rows), -1).std(axis=0))[::2]
    delta = moved(whole, whole=chosen, clip="range")
    case.require_equal(delta, np.trunc(delta), "keep whole numbers whole with `whole`", "did not")


def check_routes(case):
    """By hand, in `PoisonedClassifier` and in a Pipeline the victim predicts the same."""
    kinds = [name for name in ("fit_transform", "fit_resample") if hasattr(case.attack, name)]
    case.require(
        len(kinds) < 2 and (kinds == ["fit_transform"]) == hasattr(case.attack, "transform"),
        "be a transformer (`fit_transform`, `transform`) or a sampler (`fit_resample`), not both",
        f"has {[*kinds, *(['transform'] if hasattr(case.attack, 'transform') else [])]}",
    )
    victim = seed_estimator(clone(case.victim), 0, overwrite=False)
    X_new, y_new = case.fresh().poison(case.X, case.y)
    expected = clone(victim).fit(X_new, y_new).predict(case.X)
    routes = {"PoisonedClassifier": PoisonedClassifier(victim, case.fresh())}
    if kinds == ["fit_transform"]:
        rule = "leave labels alone, being a transformer"
        case.require_equal(y_new, case.y, rule, "changed some")
        routes["a Pipeline"] = make_pipeline(case.fresh(), victim)
        attack = case.fresh()
        rule = "return the poisoned X from `fit_transform`"
        case.require_equal(attack.fit_transform(case.X, case.y), X_new, rule, "it is another")
        rule = "leave alone what is predicted: `transform` returns X"
        case.require_equal(attack.transform(case.X), case.X, rule, "it is another")
    if kinds == ["fit_resample"]:
        pairs = zip(case.fresh().fit_resample(case.X, case.y), (X_new, y_new), strict=True)
        for one, two in pairs:
            case.require_equal(one, two, "return from `fit_resample` what `poison` does", "not so")
    for name, route in routes.items():
        predicted = clone(route).fit(case.X, case.y).predict(case.X)
        rule = f"poison in {name} as by hand"
        case.require_equal(predicted, expected, rule, "the victim predicts other labels")
        cross_val_score(make_pipeline(route), case.X, case.y, cv=2, error_score="raise")


def check_frames(case):
    """A DataFrame and a Series come back with their index, columns and name."""
    import pandas as pd

    index = np.random.default_rng(0).permutation(len(case.X)) + 1000
    columns = [f"feature {i}" for i in range(case.X.shape[1])]
    X, y = pd.DataFrame(case.X, index, columns), pd.Series(case.y, index, name="label")
    X_new, y_new = case.fresh().poison(X, y)
    expected_X, expected_y = case.fresh().poison(case.X, case.y)
    same = X.equals(pd.DataFrame(case.X, index, columns))
    case.require(same, "leave the caller's DataFrame alone", "wrote to it")
    for new, expected, assert_equal in (
        (X_new, pd.DataFrame(expected_X, index, columns), pd.testing.assert_frame_equal),
        (y_new, pd.Series(expected_y, index, name="label"), pd.testing.assert_series_equal),
    ):
        try:
            # A DataFrame has another order in memory, so sums round differently, and a surrogate
            # amplifies this.
            assert_equal(new, expected, rtol=1e-3, atol=1e-4)
        except AssertionError as error:
            rule = (
                f"return a {type(expected).__name__} for one, with the values it returns for arrays"
            )
            case.require(False, rule, f"returned another: {str(error).splitlines()[0]}")


def check_images(case):
    """Images, X of shape (n, c, h, w), keep their shape."""
    X = case.X.reshape(-1, 1, 8, 8)
    X_new, _ = case.fresh(X, case.y).poison(X, case.y)
    case.require(X_new.shape == X.shape, f"keep images of shape {X.shape}", f"made {X_new.shape}")


def check_integers(case):
    """Integers become float32 with the same values, unless X itself comes back."""
    pixels = (case.X > 0.5).astype(np.uint8)
    X_new, _ = case.fresh(pixels, case.y).poison(pixels, case.y)
    if X_new is pixels:
        return
    case.require(X_new.dtype == np.float32, "make integers float32", f"made them {X_new.dtype}")
    floats = pixels.astype(np.float32)
    expected, _ = case.fresh(floats, case.y).poison(floats, case.y)
    case.require_equal(X_new, expected, "not scale integers", "they are not what floats become")


def check_effective(case):
    """The victim scores lower on clean rows than the control, by more than chance explains."""
    drops, ratios = [], []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(case.X, case.y):
        X, y = case.X[train], case.y[train]
        attack = case.fresh()
        X_new, y_new = attack.poison(X, y)
        control = X
        delta, params = X_new.astype(np.float64) - X, case.attack.get_params(deep=False)
        own = {name: params.get(name) for name in ("clip", "columns", "scale")}
        if own["scale"] is not None:
            delta = _moving_columns(delta, attack) / attack.scale_
        norms = row_norms(delta)
        if norms.any() and np.array_equal(y_new, y):
            noise = RandomNoise(
                norm="l2,inf", budget=norms.max(), norms=norms, random_state=0, **own
            )
            control, _ = noise.poison(X, y)
        victim = seed_estimator(clone(case.victim), 0, overwrite=False)
        scores = [
            clone(victim).fit(*data).score(case.X[test], case.y[test])
            for data in ((control, y), (X_new, y_new))
        ]
        drops.append(scores[0] - scores[1])
        ratios.append(len(test) / len(train))
    mean = np.mean(drops)
    half = student_t.ppf(0.975, 4) * np.std(drops, ddof=1) * np.sqrt(1 / 5 + np.mean(ratios))
    case.require(
        mean - half > 0,
        "hurt more than noise on clean rows",
        f"scores lie {mean:.3f} ± {half:.3f} under the control (95% interval)",
    )


ALWAYS = (
    check_untouched,
    check_rows,
    check_seeds,
    check_clone_and_pickle,
    check_budget,
    check_labels_of_any_kind,
    check_refusals,
    check_columns,
    check_routes,
)
