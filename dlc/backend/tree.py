"""Nested dicts keyed by the parts of a path, and their flat form in files.

Internally, the weights of a scanned repeat are stacked under `*` along leading axes; in files every iteration has a
name: `encoder/*/dense/kernel` of shape (6, ...) is `encoder/0/dense/kernel` to `encoder/5/dense/kernel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlc.ir import Iterations, instances

Tree = dict[str, Any]


def get_in(tree: Mapping[str, Any], path: str) -> Any:
    """The value at a path; an empty dict if there is none.

    >>> get_in({"a": {"b": 1}}, "a/b"), get_in({}, "a/b")
    (1, {})
    """
    node: Any = tree
    for part in path.split("/"):
        node = node.get(part, {})
    return node


def set_in(tree: Mapping[str, Any], path: str, value: Any) -> Tree:
    """The tree with another value at a path; the given tree is not changed.

    >>> set_in({"a": {"b": 1}}, "a/c", 2)
    {'a': {'b': 1, 'c': 2}}
    """
    head, _, rest = path.partition("/")
    return {**tree, head: set_in(tree.get(head, {}), rest, value) if rest else value}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by full path.

    >>> flatten({"a": {"b": 1, "c": 2}})
    {'a/b': 1, 'a/c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}/"))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nest(flat: Mapping[str, Any]) -> Tree:
    """The inverse of `flatten`.

    >>> nest({"a/b": 1, "a/c": 2})
    {'a': {'b': 1, 'c': 2}}
    """
    tree: Tree = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree


def stacked(around: Iterations) -> tuple[int, ...]:
    """The leading axes of weights stacked over iterations.

    >>> stacked((range(1, 3), range(4)))
    (2, 4)
    """
    return tuple(len(numbers) for numbers in around)


def unstack(flat: Mapping[str, Any], stacks: Mapping[str, Iterations]) -> dict[str, Any]:
    """Flat leaves with stacked ones split into their iterations. `stacks` are the iterations of each leaf."""
    split: dict[str, Any] = {}
    for path, value in flat.items():
        for indices, name in instances(path, stacks[path]):
            split[name] = value[indices] if indices else value
    return split


def restack(split: Mapping[str, Any], stacks: Mapping[str, Iterations], stack: Any = np.stack) -> dict[str, Any]:
    """The inverse of `unstack`. `stack` joins arrays along a new first axis."""
    flat: dict[str, Any] = {}
    for path, around in stacks.items():
        leaves = [split[name] for _, name in instances(path, around)]
        flat[path] = leaves[0] if not around else stack(leaves).reshape((*stacked(around), *leaves[0].shape))
    return flat
