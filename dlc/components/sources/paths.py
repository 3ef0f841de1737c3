"""Paths in specs: relative to the spec's folder, and patterns for several files."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from dlc.diagnostics import did_you_mean, reason
from dlc.language.options import RuleViolation

_MOST_NAMES = 1000  # of files that a wrong path is compared with


def full_path(base: Path, text: str) -> Path:
    """A path that starts from the folder `base` unless it is absolute; `~` is the user's home."""
    try:
        return base / Path(text).expanduser()
    except RuntimeError:  # `~name` of an unknown user
        return base / text


def absolute(base: Path, text: str) -> str:
    """The same path from the root, without links."""
    path = full_path(base, text)
    try:
        return str(path.resolve())
    except (OSError, RuntimeError, ValueError):  # a cycle of links, or an invalid path: reported when it is read
        return str(path)


def is_pattern(text: str) -> bool:
    """Whether a path stands for several files. Only `*` has a meaning, `?` and `[` are characters of names.

    >>> is_pattern("part-*.csv"), is_pattern("a[0].csv")
    (True, False)
    """
    return "*" in text


def fixed_folder(path: Path) -> Path:
    """The folder of a file, or the innermost folder that all files of a pattern are in.

    >>> fixed_folder(Path("a/b/x.csv")).as_posix(), fixed_folder(Path("a/*/x.csv")).as_posix()
    ('a/b', 'a')
    """
    parts = path.parent.parts
    first = next((index for index, part in enumerate(parts) if is_pattern(part)), len(parts))
    return Path(*parts[:first])


def exists(path: Path) -> bool:
    """Whether there is such a file or folder, or a file that a pattern matches.

    Raises:
        OSError: or ValueError, for an invalid path.
    """
    return path.exists() or (is_pattern(str(path)) and bool(matches(path)))


def matches(pattern: Path) -> list[Path]:
    """The files that a pattern matches, in the order of their names. `**` stands for folders of any depth.

    Hidden files and folders are left out, unless the pattern names them.
    """
    folder = fixed_folder(pattern)
    rest = pattern.relative_to(folder)
    escaped = Path(*(part.replace("[", "[[]").replace("?", "[?]") for part in rest.parts))
    named = {part for part in rest.parts if part.startswith(".")}
    return sorted(
        path
        for path in folder.glob(str(escaped))
        if path.is_file() and (named or not any(part.startswith(".") for part in path.relative_to(folder).parts))
    )


def plain_file(
    base: Path,
    text: str,
    option: str = "path",
    part: tuple[str, ...] = (),
    *,
    empty: str = "is empty",
    content: str = "a table",
) -> Path:
    """The full path of a file.

    Args:
        base: the folder that a relative path starts from.
        text: the path.
        option: the option that holds it, for messages.
        part: its position in the option, for messages.
        empty: what is said of a file without content.
        content: what it should hold.

    Raises:
        RuleViolation: DLC401 when there is no such file, or it is empty.
    """
    path = full_path(base, text)

    def wrong(message: str, expected: str | None = None, hint: str | None = None) -> RuleViolation:
        return RuleViolation("DLC401", message, expected=expected, hint=hint, option=option, part=part)

    try:
        is_file, is_folder = path.is_file(), path.is_dir()
        size = path.stat().st_size if is_file else 0
    except (OSError, ValueError) as error:
        raise wrong(f"`{path}` can't be read: {reason(error)}") from None
    if not is_file:
        kind = "is a directory" if is_folder else "is not a plain file" if path.exists() else "does not exist"
        raise wrong(f"the data file `{path}` {kind}", hint=None if path.exists() else _similar(path))
    if not size:  # as the files of /proc, which may have no end
        raise wrong(f"`{path}` {empty}", expected=content)
    return path


def plain_files(
    base: Path,
    text: str,
    option: str = "path",
    part: tuple[str, ...] = (),
    *,
    empty: str = "is empty",
    content: str = "a table",
) -> list[Path]:
    """The full paths of the file, or of the files that a pattern with `*` matches; the arguments are as above.

    Raises:
        RuleViolation: DLC401 when there is none, or one is empty.
    """
    path = full_path(base, text)
    try:
        several = is_pattern(text) and not path.exists()
        found = matches(path) if several else []
    except (OSError, ValueError, RuntimeError) as error:
        message = f"`{path}` can't be read: {reason(error)}"
        raise RuleViolation("DLC401", message, option=option, part=part) from None
    if not several:
        return [plain_file(base, text, option, part, empty=empty, content=content)]
    if not found:
        raise RuleViolation("DLC401", f"no file matches `{path}`", option=option, part=part)
    return [plain_file(base, str(file), option, part, empty=empty, content=content) for file in found]


def _similar(path: Path) -> str | None:
    """The hint for a file that does not exist: one of its folder with a similar name."""
    try:
        names = [entry.name for entry in islice(path.parent.iterdir(), _MOST_NAMES)]
    except OSError:
        return None
    return did_you_mean(path.name, sorted(names))
