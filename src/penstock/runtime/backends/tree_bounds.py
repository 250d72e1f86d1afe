"""Checks of decision trees from a file: scikit-learn's compiled code follows their indices without looking."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, IsolationForest
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import BaseDecisionTree

from penstock.runtime.errors import LoadError
from penstock.runtime.tensors import Array

_CONTAINERS = (dict, list, tuple, set, np.ndarray)


def check_trees(model: Any) -> None:
    """Every index of every tree must lie within the tree and the model's features.

    Raises `LoadError` (UnsafeFormat). Reading a loaded tree is safe whatever node count its file claims: scikit-learn
    lowers a count beyond the stored nodes when it restores the tree.
    """
    for estimator in estimators_of(model):
        fitted = vars(estimator)
        try:
            if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
                _check_histogram_trees(fitted.get("_predictors", ()), estimator)
            elif isinstance(estimator, BaseDecisionTree):
                _check_trees([estimator] if "tree_" in fitted else [], estimator)
            elif isinstance(estimator, BaseForest | BaseGradientBoosting | IsolationForest):
                _check_trees(list(np.ravel(fitted.get("estimators_", ()))), estimator)
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            raise _refused() from error


def _check_trees(members: list[Any], owner: Any) -> None:
    for member in members:
        tree = member.tree_
        leaf = tree.children_left == -1
        _check_children(tree.children_left, tree.children_right, ~leaf)
        _within(tree.feature[~leaf], min(int(owner.n_features_in_), int(member.n_features_in_)))


def _check_histogram_trees(stages: Any, owner: Any) -> None:
    for tree in (tree for stage in stages for tree in stage):
        if type(tree) is not TreePredictor:
            raise _refused()
        nodes = tree.nodes
        if nodes.ndim != 1:
            raise _refused()
        inner = nodes["is_leaf"] == 0
        _check_children(nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), inner)
        _within(nodes["feature_idx"][inner], int(owner.n_features_in_))
        # Such splits index two more tables; the types that a model with them needs are not allow-listed either.
        if (nodes["is_categorical"][inner] != 0).any():
            raise _refused()


def _check_children(left: Array, right: Array, inner: Array) -> None:
    """Children lie behind their parent: within the tree, and never round in a circle."""
    if not len(inner):
        raise _refused()
    parents = np.flatnonzero(inner)
    for children in (left[inner], right[inner]):
        if (children <= parents).any():
            raise _refused()
        _within(children, len(inner))


def _within(indices: Array, size: int) -> None:
    if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < size):
        raise _refused()


def estimators_of(model: Any) -> Iterator[BaseEstimator]:
    """Every estimator within a model, itself included."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, BaseEstimator):
            yield item
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, _CONTAINERS):
            if not isinstance(item, np.ndarray) or item.dtype == object:
                waiting.extend(item.ravel() if isinstance(item, np.ndarray) else item)
        elif hasattr(item, "__dict__"):
            waiting.extend(vars(item).values())


def _refused() -> LoadError:
    return LoadError(
        "UnsafeFormat", "A decision tree in the file has indices that lead out of it: the file is refused."
    )
