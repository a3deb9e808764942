"""What a defence tells scikit-learn about itself: it takes what its estimator takes."""

from sklearn.utils import get_tags


def tags_of_wrapper(tags, estimator):
    """The tags of a classifier that hands rows to `estimator` as they are."""
    tags.classifier_tags = get_tags(estimator).classifier_tags
    return with_input_of(tags, estimator)


def with_input_of(tags, estimator):
    """The tags of an estimator whose rows go to `estimator` as they are."""
    inner = get_tags(estimator)
    for name in ("sparse", "allow_nan", "string", "categorical", "positive_only"):
        setattr(tags.input_tags, name, getattr(inner.input_tags, name))
    return tags
