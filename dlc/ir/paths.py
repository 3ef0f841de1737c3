"""Paths of nodes and weights, and the iterations that they stand for."""

from __future__ import annotations

from itertools import product

Iterations = tuple[range, ...]  # the numbers that replace the stars of a path


def instances(path: str, around: Iterations) -> list[tuple[tuple[int, ...], str]]:
    """The paths that a path with stars stands for, each with its index in the stack.

    >>> instances("a/*/b", (range(1, 3),))
    [((0,), 'a/1/b'), ((1,), 'a/2/b')]
    """
    found = []
    for pairs in product(*(enumerate(numbers) for numbers in around)):
        numbers = iter(number for _, number in pairs)
        name = "/".join(str(next(numbers)) if part == "*" else part for part in path.split("/"))
        found.append((tuple(number for number, _ in pairs), name))
    return found
