"""Wording of messages: lists of names, plurals, messages of exceptions, the known name closest to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def reason(error: BaseException) -> str:
    r"""The message of an exception in one line: without number and path for OS errors, its type if it has no message.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a")), reason(ValueError("it broke\nlong ago"))
    ('no such file or directory', 'it broke')
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a misspelt one, or None when nothing is close.

    >>> nearest("convd2", ["conv2d", "dense"])
    'conv2d'
    >>> nearest("adma", ["adamax", "adam"])  # two letters swapped
    'adam'
    """
    from difflib import get_close_matches

    choices = list(known)
    folded = {choice.lower().replace("-", "_"): choice for choice in reversed(choices)}
    plain = word.lower().replace("-", "_").replace(" ", "_")
    close = get_close_matches(plain, folded, n=3, cutoff=0.6)
    swapped = [choice for choice in close if sorted(choice) == sorted(plain)]
    return folded[(swapped or close)[0]] if close else None


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
    names = [f"`{word}`" for word in words]
    if len(names) > limit:
        return ", ".join(names[:limit]) + f" and {len(names) - limit} more"
    return ", ".join(names)


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

    >>> plural(1, "error"), plural(2, "error")
    ('1 error', '2 errors')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
