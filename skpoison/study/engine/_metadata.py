"""Metadata of a study, such as sample weights, and who gets them."""

import inspect

from sklearn import get_config
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import _check_method_params

from ._telling import POISON


def route(params, estimators, cv, scorers):
    """Return the parameters for the splitter, for the `fit` of each estimator and for its scorer.

    `estimators` and `scorers` are dicts by victim, and so are the second and third result. Without
    scikit-learn's metadata routing, `groups` go to the splitter and all others to each `fit`, as in
    `cross_validate`.
    """
    if not params:
        return {}, {name: {} for name in estimators}, {name: {} for name in estimators}
    reserved = sorted(set(POISON) & set(params))
    if reserved:
        raise ValueError(f"`params` must not have {reserved}, which the study passes to scorers")
    if not get_config()["enable_metadata_routing"]:
        fit_params = dict(params)
        groups = fit_params.pop("groups", None)
        for name, estimator in estimators.items():
            _check_takes(estimator, fit_params, name)
        split_params = {} if groups is None else {"groups": groups}
        return split_params, dict.fromkeys(estimators, fit_params), {name: {} for name in scorers}
    router = MetadataRouter(owner="robustness_curve")
    to_fit = MethodMapping().add(caller="fit", callee="fit")
    to_score = MethodMapping().add(caller="fit", callee="score")
    router.add(splitter=cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    for i, name in enumerate(estimators):
        router.add(**{f"estimator{i}": estimators[name]}, method_mapping=to_fit)
        router.add(**{f"scorer{i}": scorers[name]}, method_mapping=to_score)
    routed = process_routing(router, "fit", **params)
    return (
        routed.splitter.split,
        {name: routed[f"estimator{i}"].fit for i, name in enumerate(estimators)},
        {name: routed[f"scorer{i}"].score for i, name in enumerate(estimators)},
    )


def _check_takes(estimator, fit_params, victim):
    """Raise if `fit` has no parameter of a name, and takes none by any name."""
    taken = inspect.signature(estimator.fit).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    for name in fit_params:
        if name not in taken:
            which = "`estimator`" if victim is None else f"the victim {victim!r}"
            raise ValueError(
                f"`params` must have parameters that the `fit` of each victim takes, got {name!r}, "
                f"which the `fit` of {which} ({type(estimator).__name__}) does not take; with "
                "scikit-learn's metadata routing enabled, each victim gets what it requests"
            )


def rows_of(params, X, rows):
    """The parameters; those with one value for each row of X are cut to the given rows."""
    return _check_method_params(X, params, indices=rows)
