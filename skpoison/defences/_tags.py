"""What a defence tells scikit-learn about itself: it takes what its estimator takes."""

from sklearn.utils import get_tags


def tags_of_wrapper(tags, estimator):
    """The tags of a classifier that hands rows to `estimator` as they are."""
    inner = get_tags(estimator)
    tags.classifier_tags = inner.classifier_tags
    for name in ("sparse", "allow_nan", "string", "categorical", "positive_only"):
        setattr(tags.input_tags, name, getattr(inner.input_tags, name))
    return tags
