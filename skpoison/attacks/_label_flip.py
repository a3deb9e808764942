import numpy as np
from numpy.typing import ArrayLike

from .._typing import Classifier, Seed
from .._validation import check_choice, check_real, encode_labels, takes
from .._warnings import warn_no_row
from ._base_label import BaseLabelAttack
from ._surrogate import fit_surrogate, scores_of

SELECTIONS = ("random", "margin", "loss")


class LabelFlip(BaseLabelAttack):
    """Regime C: change the labels of a share of the rows, drawn at random or chosen by a surrogate.

    Rows drawn at random may be of any kind, because they are not read: text, sparse rows, frames
    with categories and missing cells. A surrogate gets X as it is, so it must take such rows.

    Parameters
    ----------
    rate : float, default=0.1
        Probability that a row's label changes, the paper's beta; with ``sampling="exact"`` the
        share of rows whose label changes. Ignored when `transition` is a matrix.
    transition : {"next", "uniform"} or array-like of shape (n_classes, n_classes), default="next"
        What a changed label becomes. "next": class i of the K classes becomes (i + 1) mod K, in the
        order of `classes_`, as in Section 5 of [1]_ (with two classes, the other one). "uniform":
        any other class, all equally likely. A matrix: row i holds the probabilities with which
        class i becomes each class.
    sampling : {"bernoulli", "exact"}, default="bernoulli"
        "bernoulli": each row is drawn by itself. "exact": exactly round(rate n) rows are drawn. A
        matrix needs "bernoulli".
    selection : {"random", "margin", "loss"}, default="random"
        How rows are chosen. "random": drawn. "margin" and "loss" change as many rows as "random"
        does with the same `random_state`, but rank the rows by the scores of `surrogate` [2]_.
        "margin" takes the rows with the smallest margin between the score of the label and the best
        other score. "loss" takes the rows whose new label raises the surrogate's cross-entropy
        most. A matrix needs "random".
    surrogate : classifier, default=None
        The classifier that ranks the rows for "margin" and "loss": unfitted (it is cloned and
        fitted on the clean data), or ``FrozenEstimator(fitted)``. It needs ``logits``,
        ``decision_function`` or ``predict_proba``. It gets X as it is, but images as flat rows if
        it has no ``logits``. "random" does not use it.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of rows and labels, and the surrogate where it has no seed of its own.

    Attributes
    ----------
    surrogate_ : classifier
        The fitted surrogate; only with the selections "margin" and "loss".
    classes_ : ndarray of shape (n_classes,)
        The sorted labels that `fit` or `poison` was given.
    poison_indices_ : ndarray of shape (n_poisoned,)
        The rows whose label changed, in ascending order.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.

    Warns
    -----
    UserWarning
        If `rate` is over 0 (or `transition` a matrix other than the identity) and no label changes.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Sections 3.3 and 5.
    .. [2] Xiao, Xiao, Eckert, "Adversarial Label Flips Attack on Support Vector Machines",
       ECAI 2012 (nearest-first flips, and flips by the rise of the loss).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import LabelFlip
    >>> X, y = load_digits(return_X_y=True)
    >>> attack = LabelFlip(rate=0.3, sampling="exact", random_state=0)
    >>> X_poisoned, y_poisoned = attack.poison(X, y)
    >>> int((y_poisoned != y).sum()), round(0.3 * len(y))
    (539, 539)

    Flip the labels whose change surprises a linear surrogate most:

    >>> from sklearn.linear_model import LogisticRegression
    >>> attack = LabelFlip(rate=0.3, selection="loss", surrogate=LogisticRegression())
    >>> X_poisoned, y_poisoned = attack.poison(X / 16, y)
    """

    def __init__(
        self,
        rate: float = 0.1,
        *,
        transition: str | ArrayLike = "next",
        sampling: str = "bernoulli",
        selection: str = "random",
        surrogate: Classifier | None = None,
        random_state: Seed = None,
    ) -> None:
        self.rate = rate
        self.transition = transition
        self.sampling = sampling
        self.selection = selection
        self.surrogate = surrogate
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.selection != "random":  # X goes on to the surrogate.
            for kind in ("sparse", "allow_nan"):
                setattr(tags.input_tags, kind, takes(self.surrogate, kind))
        return tags

    @property
    def strength_name(self) -> str | None:  # type: ignore[override]
        """The strength, "rate"; None if `transition` is a matrix, which does not use it."""
        return "rate" if isinstance(self.transition, str) else None

    @property
    def tags(self) -> dict[str, str]:  # type: ignore[override]
        """The threat model; an attacker who ranks rows knows more than one who draws them."""
        knowledge = "labels; neither features nor models"
        if self.selection != "random":
            knowledge = "training data, and a surrogate fitted on them; not the fitted victim"
        return BaseLabelAttack.tags | {
            "goal": "lower accuracy on all clean rows",
            "knowledge": knowledge,
            "nist_ai_100_2_e2025": "availability poisoning",
        }

    def _check_parameters(self):
        check_choice(self.sampling, "sampling", ("bernoulli", "exact"))
        check_choice(self.selection, "selection", SELECTIONS)
        if self.selection != "random" and self.surrogate is None:
            raise TypeError(
                f"`surrogate` must be a classifier, got None with `selection` {self.selection!r}"
            )
        if isinstance(self.transition, str) or self.transition is None:
            check_choice(self.transition, "transition", ("next", "uniform"))
            check_real(self.rate, "rate", low=0, high=1)
            return
        matrix = self._matrix()
        if self.sampling == "exact":
            raise ValueError(
                "`sampling` must be 'bernoulli' when `transition` is a matrix, got 'exact'"
            )
        if self.selection != "random":
            raise ValueError(
                "`selection` must be 'random' when `transition` is a matrix, "
                f"got {self.selection!r}"
            )
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"`transition` must be a square matrix, got shape {matrix.shape}")
        bad = ~np.isfinite(matrix) | (matrix < 0)
        if bad.any():
            raise ValueError(f"`transition` must have finite entries >= 0, got {matrix[bad][0]}")
        sums = matrix.sum(axis=1)
        if not np.allclose(sums, 1, rtol=0, atol=1e-6):
            raise ValueError(f"`transition` must have rows that sum to 1, got {sums.tolist()}")

    def _matrix(self):
        try:
            if np.iscomplexobj(self.transition):
                raise TypeError
            return np.asarray(self.transition, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                "`transition` must be 'next', 'uniform' or a matrix of numbers, "
                f"got {self.transition!r}"
            ) from None

    def _relabel(self, X, codes, n_classes, random_state):
        if not isinstance(self.transition, str):
            return self._draw_from_matrix(codes, n_classes, random_state)
        n = len(codes)
        if self.sampling == "exact":
            rows = random_state.permutation(n)[: round(self.rate * n)]
        else:
            rows = np.flatnonzero(random_state.random_sample(n) < self.rate)
        if self.rate and not len(rows):
            warn_no_row(self, "rate", self.rate, n)
        if self.transition == "next":
            shift = np.ones(n, dtype=np.intp)
        else:
            # One draw for every row, so that a new label does not depend on which rows flip.
            shift = random_state.randint(1, n_classes, size=n)
        wanted = (codes + shift) % n_classes
        if self.selection != "random":
            # As many rows as the random selection takes, so that selections compare at equal rate.
            rows = self._ranked(X, codes, wanted, random_state)[: len(rows)]
        new = codes.copy()
        new[rows] = wanted[rows]
        return new

    def _ranked(self, X, codes, wanted, random_state):
        """Indices of all rows, in the order in which `selection` flips them; ties in row order."""
        labels = self.classes_[codes]
        self.surrogate_, _ = fit_surrogate(
            self.surrogate, X, labels, random_state, differentiable=False
        )
        columns = encode_labels(self.classes_, np.asarray(self.surrogate_.classes_), "`surrogate`")
        scores, rows = scores_of(self.surrogate_, X)[:, columns], np.arange(len(codes))
        own = scores[rows, codes]
        if self.selection == "loss":
            # The cross-entropy rises by own - scores[wanted]: log sum exp is the same in both.
            return np.argsort(scores[rows, wanted] - own, kind="stable")
        scores[rows, codes] = -np.inf
        return np.argsort(own - scores.max(axis=1), kind="stable")

    def _draw_from_matrix(self, codes, n_classes, random_state):
        matrix = self._matrix()
        if len(matrix) != n_classes:
            raise ValueError(
                f"`transition` must have a row for each of the {n_classes} classes in y, "
                f"got shape {matrix.shape}"
            )
        bounds = np.cumsum(matrix, axis=1)
        bounds /= bounds[:, -1:]
        draws = random_state.random_sample(len(codes))
        new = (draws[:, np.newaxis] >= bounds[codes]).sum(axis=1)
        least = matrix.diagonal().min()
        if least < 1 and np.array_equal(new, codes):
            value = f"a matrix with a diagonal from {least:g}"
            warn_no_row(self, "transition", value, len(codes))
        return new
