"""Wording of messages: lists of names, plurals, messages of exceptions, the known name closest to a misspelt one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice

MOST_COMPARISONS = 300_000
"""Of words, in a check: about a second. Thousands of unknown names among thousands of known ones are many more."""
_comparisons_left: ContextVar[list[int] | None] = ContextVar("comparisons_left", default=None)


def reason(error: BaseException) -> str:
    r"""The message of an exception in one line: without number and path for OS errors, its type if it has no message.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a")), reason(ValueError("it broke\nlong ago"))
    ('no such file or directory', 'it broke')
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def bounded_suggestions(most: int = MOST_COMPARISONS) -> Iterator[None]:
    """Within, `nearest` compares at most so many words, and then finds nothing."""
    token = _comparisons_left.set([most])
    try:
        yield
    finally:
        _comparisons_left.reset(token)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a misspelt one, or None when nothing is close.

    Close is a word with few edits, one for every four characters, or with other endings of the same word: a far-fetched
    suggestion is worse than none.

    >>> nearest("convd2", ["conv2d", "dense"])
    'conv2d'
    >>> nearest("adma", ["adamax", "adam"])  # two letters swapped
    'adam'
    >>> nearest("conv2", ["conv1d", "conv2d"])
    'conv2d'
    >>> nearest("drop", ["dropout"]), nearest("pool_max2d", ["max_pool2d"]), nearest("stage", ["take"])
    ('dropout', 'max_pool2d', None)
    """
    plain = _folded(word)
    best: tuple[float, str] | None = None
    left = _comparisons_left.get()
    for choice in known:
        if left is not None:
            if not left[0]:
                return None
            left[0] -= 1
        other = _folded(choice)
        long, gap = max(len(plain), len(other)), abs(len(plain) - len(other))
        allowed = (long + 1) // 4 or 1
        if gap > allowed and plain[:1] != other[:1]:  # most words: neither is close
            continue
        edits: float = _edits(plain, other, allowed)
        if edits > allowed and _related(plain, other):
            edits = allowed + 0.5  # after those that have few edits
        if edits < allowed + 1 and edits < len(plain) and (best is None or edits < best[0]):
            best = edits, choice
    return best[1] if best is not None else None


def _folded(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")


def _related(one: str, other: str) -> bool:
    """Whether two words have the same parts, or begin alike: `std` and `stddev`, `predicted` and `prediction`."""
    if one[:1] == other[:1]:
        short, long = sorted((len(one), len(other)))
        shared = next((at for at in range(short) if one[at] != other[at]), short)
        if shared == short > 2 or 3 * shared >= 2 * long:
            return True
    return len(one) == len(other) and sorted(one) == sorted(other)


def _edits(one: str, other: str, most: int) -> int:
    """How many characters to insert, delete, replace or swap with the next; more than `most` if there are more.

    The optimal string alignment distance.
    """
    if abs(len(one) - len(other)) > most or len(set(one).difference(other)) > most:  # each of these needs an edit
        return most + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, left in enumerate(one, 1):
        now = [row]
        for column, right in enumerate(other, 1):
            cost = min(last[column] + 1, now[-1] + 1, last[column - 1] + (left != right))
            if row > 1 and column > 1 and left == other[column - 2] and right == one[row - 2]:
                cost = min(cost, before[column - 2] + 1)
            now.append(cost)
        if min(now) > most:
            return most + 1
        before, last = last, now
    return last[-1]


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint for a misspelt word, or None.

    >>> did_you_mean("filtrs", ["filters", "kernel"])
    'did you mean `filters`?'
    """
    close = nearest(word, known)
    return f"did you mean `{close}`?" if close else None


def listing(words: Iterable[str], limit: int = 16) -> str:
    """A list of names for a message.

    >>> listing(["a", "b"])
    '`a`, `b`'
    """
    known = words if isinstance(words, Collection) else list(words)
    names = ", ".join(f"`{word}`" for word in islice(known, limit))
    return f"{names} and {len(known) - limit} more" if len(known) > limit else names


def one_of(words: Iterable[str]) -> str:
    """The `expected` text of a value that may be any of these names.

    >>> one_of(["a", "b"]), one_of(["a"])
    ('one of `a`, `b`', '`a`')
    """
    names = list(words)
    return f"one of {listing(names)}" if len(names) > 1 else listing(names)


def article(noun: str) -> str:
    """A noun with its article.

    >>> article("optimizer"), article("layer")
    ('an optimizer', 'a layer')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "error"), plural(2, "error"), plural(1000, "class")
    ('1 error', '2 errors', '1,000 classes')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def human(count: float, unit: str = "", step: int = 1000) -> str:
    """A large number in few digits.

    >>> human(1234567), human(2048, "B", 1024)
    ('1.23 M', '2.00 KiB')
    >>> human(10**400, "B", 1024)
    'more than 1e300 B'
    """
    if abs(count) > 10**300:  # no float holds it
        return f"more than 1e300 {unit}".strip()
    prefixes = ("", "Ki", "Mi", "Gi", "Ti") if step == 1024 else ("", "k", "M", "G", "T", "P")
    index = 0
    while abs(count) >= step and index < len(prefixes) - 1:
        count /= step
        index += 1
    return f"{count:,.0f} {unit}".strip() if index == 0 else f"{count:.2f} {prefixes[index]}{unit}"
