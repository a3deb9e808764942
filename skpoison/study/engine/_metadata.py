"""Metadata of a study, such as sample weights, and who gets them."""

from sklearn import get_config
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import _check_method_params


def route(params, estimator, cv, scorer):
    """Return the parameters for the splitter, for the estimator's `fit` and for the scorer.

    Without scikit-learn's metadata routing, `groups` go to the splitter and all others to `fit`, as
    in `cross_validate`.
    """
    if not params:
        return {}, {}, {}
    if not get_config()["enable_metadata_routing"]:
        fit_params = dict(params)
        groups = fit_params.pop("groups", None)
        return ({} if groups is None else {"groups": groups}), fit_params, {}
    router = MetadataRouter(owner="robustness_curve")
    for callee, (name, part) in {
        "split": ("splitter", cv),
        "fit": ("estimator", estimator),
        "score": ("scorer", scorer),
    }.items():
        router.add(method_mapping=MethodMapping().add(caller="fit", callee=callee), **{name: part})
    routed = process_routing(router, "fit", **params)
    return routed.splitter.split, routed.estimator.fit, routed.scorer.score


def rows_of(params, X, rows):
    """The parameters; those with one value for each row of X are cut to the given rows."""
    return _check_method_params(X, params, indices=rows)
