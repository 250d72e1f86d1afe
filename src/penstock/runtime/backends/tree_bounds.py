"""Checks of decision trees from a file: scikit-learn's compiled code follows their indices without looking."""

import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
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

_TREE_LOADER = "TreeNode"
_TREE_FIELDS = {"max_depth", "node_count", "nodes", "values"}
_CONTAINERS = (dict, list, tuple, set, np.ndarray)


def check_stored_trees(file: Path) -> None:
    """Before loading: a stored tree must hold as many nodes as it claims, or reading it leaves its memory.

    Raises `LoadError` (UnsafeFormat), and whatever zip, JSON and numpy raise for a damaged file.
    """
    with zipfile.ZipFile(file) as archive:
        states = list(_states(json.loads(archive.read("schema.json"))))
        by_id: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for state in states:
            by_id[_hashable(state.get("__id__"))].append(state)
        for tree in states:
            if tree.get("__loader__") != _TREE_LOADER:
                continue
            fields = tree["content"]["content"]
            count, nodes = fields["node_count"], fields["nodes"]
            # skops loads one object per id: a second, different one under it would be what is loaded.
            for part in (tree, tree["content"], count, nodes):
                if any(other != part for other in by_id[_hashable(part.get("__id__"))]):
                    raise _refused()
            if set(fields) != _TREE_FIELDS or nodes["__loader__"] != "NdArrayNode" or nodes["type"] != "numpy":
                raise _refused()
            stored = np.load(io.BytesIO(archive.read(nodes["file"])), allow_pickle=False)
            if json.loads(count["content"]) != stored.shape[0]:
                raise _refused()


def check_trees(model: Any) -> None:
    """After loading: every index of every tree must lie within the tree and the model's features."""
    for estimator in _estimators(model):
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


def _states(schema: Any) -> Iterator[dict[str, Any]]:
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _hashable(identifier: Any) -> Any:
    return identifier if isinstance(identifier, int | float | str | None) else repr(identifier)


def _estimators(model: Any) -> Iterator[BaseEstimator]:
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
