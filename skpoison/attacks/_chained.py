from collections.abc import Sequence
from typing import Any, Self

from sklearn.base import clone
from sklearn.pipeline import _name_estimators

from .._typing import Attack
from .._validation import takes
from ._base import BaseAttack
from ._rows_as_given import RowsAsGiven
from ._sampler import SamplerMixin


class ChainedAttack(SamplerMixin, RowsAsGiven, BaseAttack):
    """Several attacks in turn: each poisons the result of the one before.

    Attacks on features and on labels can be mixed, as in the paper's unified model of a poisoned
    oracle ([1]_, Section 2). The chain is a sampler: it has `fit_resample` and no `transform`. It
    takes the X that all its attacks take, and hands it from one to the next in its container.

    Parameters
    ----------
    attacks : list of attacks
        They run in this order. Their parameters are named by the lower-case name of the class, as
        in `make_pipeline`: ``labelflip__rate``, and ``labelflip-2__rate`` for a second `LabelFlip`.

    Attributes
    ----------
    attacks_ : list of attacks
        The fitted clones.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    poison_indices_ : ndarray of shape (n_poisoned,)
        The rows that changed, in ascending order.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import ChainedAttack, LabelFlip, RandomNoise
    >>> X, y = load_digits(return_X_y=True)
    >>> noise = RandomNoise(norm="l2,inf", budget=0.5, random_state=0)
    >>> attack = ChainedAttack([noise, LabelFlip(0.2, random_state=0)])
    >>> X_poisoned, y_poisoned = attack.poison(X / 16, y)
    >>> attack.get_params()["labelflip__rate"]
    0.2
    """

    # Its attacks have seeds of their own.
    random_state = None

    def __init__(self, attacks: Sequence[Attack]) -> None:
        self.attacks = attacks

    @property
    def strength_name(self) -> str | None:  # type: ignore[override]
        """The strength of the first attack, such as ``"labelflip__rate"``; None if it has none."""
        for name, attack in self._named():
            strength = getattr(attack, "strength_name", None)
            return strength and f"{name}__{strength}"
        return None

    @property
    def tags(self) -> dict[str, str]:  # type: ignore[override]
        """What its attacks say of themselves, in their order."""
        parts = [getattr(attack, "tags", BaseAttack.tags) for _, attack in self._named()]
        return {
            name: "; ".join(dict.fromkeys(part.get(name, default) for part in parts)) or default
            for name, default in BaseAttack.tags.items()
        }

    def _check_parameters(self):
        if not isinstance(self.attacks, (list, tuple)) or not self.attacks:
            raise ValueError(f"`attacks` must be a non-empty list of attacks, got {self.attacks!r}")
        for attack in self.attacks:
            if isinstance(attack, type) or not hasattr(attack, "poison"):
                raise TypeError(
                    f"`attacks` must hold attacks (with a `poison` method), got {attack!r}"
                )

    def _poison(self, X, y, random_state):
        fitted = []
        for attack in self.attacks:
            fitted.append(clone(attack))
            X, y = fitted[-1].poison(X, y)
        self.attacks_ = fitted
        return X, y

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters and, with `deep`, the parameters of the attacks too.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of the attacks.

        Returns
        -------
        params : dict
            Names and values.
        """
        params = {"attacks": self.attacks}
        if deep:
            for name, attack in self._named():
                params[name] = attack
                for key, value in attack.get_params(deep=True).items():
                    params[f"{name}__{key}"] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this object or, by ``name__parameter``, of an attack.

        Parameters
        ----------
        **params
            Names as `get_params` lists them.

        Returns
        -------
        self : ChainedAttack

        Raises
        ------
        ValueError
            If `get_params` does not list a name.
        """
        if "attacks" in params:
            self.attacks = params.pop("attacks")
        if not params:
            return self
        names = [name for name, _ in self._named()]
        # A new list, because the caller may still hold the old one.
        attacks = [params.pop(name, attack) for name, attack in self._named()]
        for key, value in params.items():
            name, _, rest = key.partition("__")
            if name not in names or not rest:
                raise ValueError(
                    f"Invalid parameter {key!r} for ChainedAttack: its attacks are named {names}"
                )
            attacks[names.index(name)].set_params(**{rest: value})
        self.attacks = attacks
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        for kind in ("sparse", "allow_nan"):
            setattr(tags.input_tags, kind, all(takes(attack, kind) for _, attack in self._named()))
        return tags

    def _named(self):
        """Pairs (name, attack); entries that `fit` will refuse are left out."""
        attacks = self.attacks if isinstance(self.attacks, (list, tuple)) else []
        return _name_estimators([attack for attack in attacks if hasattr(attack, "get_params")])
