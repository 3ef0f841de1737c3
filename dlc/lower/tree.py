"""Nested dicts keyed by the parts of a path, and their flat form that files use.

Inside, the weights of a scanned repeat are stacked under `*` along leading axes; in files every iteration has its own
name: `encoder/*/dense/kernel` of shape (6, ...) is `encoder/0/dense/kernel` to `encoder/5/dense/kernel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

Tree = dict[str, Any]


def get_in(tree: Mapping[str, Any], path: str) -> Any:
    """The value at a path; an empty dict where there is none.

    >>> get_in({"a": {"b": 1}}, "a/b"), get_in({}, "a/b")
    (1, {})
    """
    node: Any = tree
    for part in path.split("/"):
        node = node.get(part, {})
    return node


def set_in(tree: Mapping[str, Any], path: str, value: Any) -> Tree:
    """The tree with another value at a path; the given one is left as it is.

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


def instances(path: str, times: tuple[int, ...]) -> list[tuple[tuple[int, ...], str]]:
    """The paths that one with stars stands for, each with its indices.

    >>> instances("a/*/b", (2,))
    [((0,), 'a/0/b'), ((1,), 'a/1/b')]
    """
    found = []
    for indices in product(*(range(count) for count in times)):
        numbers = iter(indices)
        found.append((indices, "/".join(str(next(numbers)) if part == "*" else part for part in path.split("/"))))
    return found


def unstack(flat: Mapping[str, Any], stacks: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Flat leaves with stacked ones split into their iterations. `stacks` gives the times of each leaf."""
    split: dict[str, Any] = {}
    for path, value in flat.items():
        for indices, name in instances(path, stacks[path]):
            split[name] = value[indices] if indices else value
    return split


def restack(split: Mapping[str, Any], stacks: Mapping[str, tuple[int, ...]], stack: Any = np.stack) -> dict[str, Any]:
    """The inverse of `unstack`. `stack` joins arrays along a new first axis."""
    flat: dict[str, Any] = {}
    for path, times in stacks.items():
        leaves = [split[name] for _, name in instances(path, times)]
        flat[path] = leaves[0] if not times else stack(leaves).reshape((*times, *leaves[0].shape))
    return flat
