from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult

from .._typing import AnySeed
from .._validation import check_int, check_real
from ._arguments import check_rows, check_two_classes, check_values
from ._margin import ntk_margin
from ._rates import error_rate, step_size
from ._regime_a import min_width, total_budget, width_window
from ._regime_b import max_width, per_sample_budget
from ._regime_c import flip_rate_budget


@dataclass(frozen=True)
class RegimePromise:
    """What one theorem promises; part of a `TheoryReport`.

    Attributes
    ----------
    regime : {"A", "B", "C"}
        Theorem 3.1, 3.2 or 3.3.
    budget : float
        The largest S (regime A), B (regime B, at the given width) or beta (regime C); NaN if there
        is none.
    min_width, max_width : float
        The smallest and largest width for which the theorem holds under the given attack.
    step_size : float
        The constant step size of SGD.
    error_bound : float
        The bound on the mean error over the iterates.
    reasons : tuple of str
        Why the theorem promises nothing here; empty if it promises something.

    Examples
    --------
    >>> from skpoison.theory import RegimePromise
    >>> reasons = ("error bound 2 is 1 or more",)
    >>> RegimePromise("A", 1.0, 1e9, float("inf"), 0.05, 2.0, reasons).vacuous
    True
    """

    regime: str
    budget: float
    min_width: float
    max_width: float
    step_size: float
    error_bound: float
    reasons: tuple[str, ...]

    @property
    def vacuous(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class TheoryReport:
    """The margin of a data set and what Theorems 3.1 to 3.3 promise; made by `theory_report`.

    Attributes
    ----------
    n, n_features : int
        Rows and features.
    margin : scipy.optimize.OptimizeResult
        The result of `ntk_margin`.
    gamma : float
        The margin that was put into the formulas.
    regimes : dict of RegimePromise
        By name: "A", "B", "C".

    Examples
    --------
    >>> from skpoison.theory import RegimePromise, TheoryReport
    >>> promise = RegimePromise("B", 1e-6, 1e9, float("inf"), 1.0, 3.7, ("error bound over 1",))
    >>> TheoryReport(360, 64, margin=None, gamma=0.1, regimes={"B": promise}).vacuous
    True
    """

    n: int
    n_features: int
    margin: OptimizeResult = field(repr=False)
    gamma: float
    regimes: dict[str, RegimePromise]

    @property
    def vacuous(self) -> bool:
        """Whether no theorem promises anything."""
        return all(promise.vacuous for promise in self.regimes.values())

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a list with one flat dict for each regime, for ``pandas.DataFrame``.

        Returns
        -------
        rows : list of dict
        """
        return [
            {"n": self.n, "n_features": self.n_features, "gamma": self.gamma}
            | asdict(promise)
            | {"vacuous": promise.vacuous, "reasons": "; ".join(promise.reasons)}
            for promise in self.regimes.values()
        ]

    def __str__(self):
        margin = self.margin
        lines = [
            f"{self.n} rows, {self.n_features} features; margin gamma = {self.gamma:.4g} (on fresh "
            f"directions between {margin.fresh_lower:.3g} ± {margin.fresh_lower_se:.1g} and "
            f"{margin.fresh_upper:.3g} ± {margin.fresh_upper_se:.1g})",
            "regime     budget  min width  max width       step  error bound",
        ]
        for name, p in self.regimes.items():
            lines.append(
                f"{name:6s} {p.budget:10.3g} {p.min_width:10.3g} {p.max_width:10.3g} "
                f"{p.step_size:10.3g} {p.error_bound:12.3g}"
                + (f"  vacuous: {'; '.join(p.reasons)}" if p.vacuous else "")
            )
        return "\n".join(lines)


def theory_report(
    X: ArrayLike,
    y: ArrayLike,
    *,
    width: int | None = None,
    total_perturbation: float = 0.0,
    perturbation_bound: float = 0.0,
    flip_rate: float = 0.0,
    failure_probability: float = 0.05,
    margin: OptimizeResult | None = None,
    random_state: AnySeed = None,
) -> TheoryReport:
    """What Theorems 3.1 to 3.3 promise for these data, and whether the promises are vacuous.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Rows of two classes, scaled to norm 1 here; trailing axes are flattened to d features.
    y : array-like of shape (n,)
        Their labels.
    width : int, default=None
        m, the net's hidden units. None: the smallest width for which the theorem holds.
    total_perturbation : float, default=0.0
        The attack's S = sum_i ||delta_i||, in units of the scaled rows (regime A).
    perturbation_bound : float, default=0.0
        The attack's B = max_i ||delta_i|| (regimes A and B).
    flip_rate : float, default=0.0
        The attack's share beta of flipped labels, in [0, 1] (regime C).
    failure_probability : float, default=0.05
        The paper's delta, in (0, 1).
    margin : OptimizeResult, default=None
        The result of `ntk_margin` for these data. None: call it with its defaults.
    random_state : int, Generator, RandomState or None, default=None
        Seeds `ntk_margin`.

    Returns
    -------
    report : TheoryReport
        ``margin``, ``regimes`` and ``vacuous``; print it for a table.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or X or y cannot be used.

    Notes
    -----
    gamma is the margin's `fresh_lower`. If that is not positive, it is `lower`, which holds only
    for the sampled directions. A promise is vacuous if, with the hidden constants at 1, the error
    bound is 1 or more, the theorem holds for no width or not for `width`, the attack is over the
    budget, or it flips half of the labels or more. The theorems are about new data from a
    distribution with margin gamma. The margin of the rows, which is used here, can only be larger.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021, Section 3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison.theory import theory_report
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> report = theory_report(X, y, width=1000, random_state=0)
    >>> report.vacuous
    True
    >>> for reason in report.regimes["C"].reasons:
    ...     print(reason)
    error bound 67.6 is 1 or more
    width 1000 is under 3.01e+09
    budget is not defined
    """
    rows = check_rows(X)
    attack = {
        "A": check_real(total_perturbation, "total_perturbation", low=0),
        "B": check_real(perturbation_bound, "perturbation_bound", low=0),
        "C": check_real(flip_rate, "flip_rate", low=0, high=1),
    }
    check_values(failure_probability, "failure_probability", above=0, below=1)
    check_two_classes(y, len(rows))
    if width is not None:
        width = check_int(width, "width", low=1)
    if margin is None:
        margin = ntk_margin(rows, y, random_state=random_state)
    elif not hasattr(margin, "fresh_lower"):
        raise TypeError(f"`margin` must be a result of ntk_margin or None, got {margin!r}")
    # The formulas refuse a margin over 1/2. With few directions the estimate can be larger.
    gamma = min(margin.fresh_lower if margin.fresh_lower > 0 else margin.lower, 0.5)
    n, d = rows.shape
    problem = {"n": n, "margin": gamma, "failure_probability": failure_probability}
    if gamma <= 0:
        promises = {name: _nothing(name, n, attack["B"]) for name in attack}
    else:
        promises = {name: _promise(name, problem, d, width, attack) for name in attack}
    return TheoryReport(n=n, n_features=d, margin=margin, gamma=gamma, regimes=promises)


def _promise(name, problem, d, width, attack):
    low = min_width(**problem)
    high, budget, reasons = float("inf"), float("nan"), []
    if name == "A":
        budget = total_budget(**problem)
        high = width_window(**problem, total_perturbation=attack["A"]).upper
        limit = per_sample_budget(margin=problem["margin"], n_features=d, regime="A")
        if attack["B"] > limit:
            reasons.append(f"perturbation_bound {attack['B']:.3g} is over {limit:.3g}")
    elif name == "B":
        budget = per_sample_budget(**problem, width=width or low, n_features=d)
        high = max_width(**problem, n_features=d, perturbation_bound=attack["B"])
    else:
        budget = flip_rate_budget(**problem).value
        if attack["C"] >= 0.5:
            reasons.append(f"flip_rate {attack['C']:.3g} is 1/2 or more")
    error = error_rate(name, **problem)
    return RegimePromise(
        regime=name,
        budget=budget,
        min_width=low,
        max_width=high,
        step_size=step_size(name, n=problem["n"], perturbation_bound=attack["B"]),
        error_bound=error,
        reasons=(
            *_reasons(error, low, high, width),
            *_budget_reasons(name, budget, attack[name]),
            *reasons,
        ),
    )


def _reasons(error, low, high, width):
    if error >= 1:
        yield f"error bound {error:.3g} is 1 or more"
    if low > high:
        yield f"no width: {low:.3g} to {high:.3g}"
    elif width is not None and width < low:
        yield f"width {width} is under {low:.3g}"
    elif width is not None and width > high:
        yield f"width {width} is over {high:.3g}"


def _budget_reasons(name, budget, spent):
    if budget != budget:
        yield "budget is not defined"
    elif spent > budget:
        yield f"the attack's {spent:.3g} is over the budget {budget:.3g}"


def _nothing(name, n, bound):
    return RegimePromise(
        regime=name,
        budget=float("nan"),
        min_width=float("inf"),
        max_width=float("nan"),
        step_size=step_size(name, n=n, perturbation_bound=bound),
        error_bound=float("inf"),
        reasons=("no positive margin was found",),
    )
