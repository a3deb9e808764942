"""Metadata of a study, such as sample weights: who gets what."""

from sklearn import get_config
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import _check_method_params


def route(params, estimator, cv, scorer):
    """Parameters for the splitter's `split`, the estimator's `fit` and the scorer, three dicts.

    Without scikit-learn's metadata routing all go to `fit`, as in `cross_validate`.
    """
    if not params:
        return {}, {}, {}
    if not get_config()["enable_metadata_routing"]:
        return {}, dict(params), {}
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
    """The parameters with the given rows of those that have a value for each row of X."""
    return _check_method_params(X, params, indices=rows)
