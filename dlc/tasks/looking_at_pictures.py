"""What a folder of pictures, or files in the IDX format, hold: classes, sizes, channels, and files that are damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dlc.components.features.pictures import Target, decoded, header
from dlc.components.sources.folders import ImageFolder
from dlc.components.sources.idx import Idx
from dlc.components.sources.references import FileEntry
from dlc.diagnostics import listing, plural, reason
from dlc.language.options import RuleViolation
from dlc.tasks.task import Given, folders_of_splits, is_folder, scalar

SIDE = 64  # pixels of a larger picture in a spec: a CPU trains on that in minutes
_LEAST = 8  # pixels of a side that can be halved
_DECODED = 3000  # pictures that are decoded; the headers of all are read
_SMALL = Target(8, 8, 1, "stretch", "nearest")


class Pictures(NamedTuple):
    """Pictures that a task reads.

    Args:
        sources: what the options of `data` are, as YAML.
        classes: the names of the classes, by the source's column `label`; none without labels.
        counts: how many pictures each source has.
        feature: the feature that reads them, as YAML.
        size: its height, width and channels.
        seen: what was found, in words.
        bad: the files that can't be read, with the reason.
        column: the column of the pictures.
        label: the column of the classes.
    """

    sources: Mapping[str, str]
    classes: Sequence[str]
    counts: Mapping[str, int]
    feature: str
    size: tuple[int, int, int]
    seen: str
    bad: Sequence[str] = ()
    column: str = "image"
    label: str = "label"


def bundled() -> Pictures:
    """The handwritten digits of scikit-learn."""
    seen = "1,797 handwritten digits that ship with scikit-learn"
    feature = "{tensor: {shape: [8, 8, 1], scale: 16}}"
    digits = [str(digit) for digit in range(10)]
    return Pictures({"source": "digits"}, digits, {"source": 1797}, feature, (8, 8, 1), seen, label="digit")


def look_at_pictures(given: Given, multiple: int = 1) -> Pictures:
    """What a folder or files hold.

    Args:
        given: the path.
        multiple: of which height and width must be.

    Raises:
        RuleViolation: DLC401 when there are no pictures.
    """
    path = given.data
    if path is None:
        return bundled()
    folder = is_folder(path, "give a folder that holds a folder of pictures for each class")
    idx = _idx_files(path)
    if idx:
        return _look_at_idx(given, idx, multiple)
    if not folder:
        hint = "give the folder that holds a folder for each class"
        raise RuleViolation("DLC401", f"`{path}` is not a folder of pictures", found="a file", hint=hint)
    return _look_at_folders(given, path, multiple)


def _look_at_folders(given: Given, path: Path, multiple: int) -> Pictures:
    parts = folders_of_splits(path)
    tables: dict[str, Any] = {
        option: ImageFolder(path=str(part.absolute())).load(Path()) for option, part in parts.items()
    }
    looked = _Looked()
    for table in tables.values():
        looked.add(table["image"].tolist())
    if not looked.sizes:
        message = f"no picture in `{path}` can be read"
        raise RuleViolation("DLC401", message, found=listing(looked.bad, 3), hint="check one of the files")
    height, width, sizes = _common_size(looked.sizes, multiple)
    gray = set(looked.modes) <= {"1", "L", "LA", "I", "I;16"}
    channels = 1 if gray else 3
    options = [f"size: {height}" if height == width else f"size: [{height}, {width}]"]
    options += [] if channels == 3 else ["channels: 1"]
    options += ["resize: crop"] if len(looked.sizes) > 1 else []
    sources = {option: f"{{image_folder: {scalar(given.relative(part))}}}" for option, part in parts.items()}
    labels = [set(table["label"].tolist()) if "label" in table else set() for table in tables.values()]
    counts = {option: len(table["image"]) for option, table in tables.items()}
    kind = "gray" if gray else "color"
    seen = f"{plural(sum(counts.values()), f'{kind} picture')} of {sizes}"
    feature = f"{{image: {{{', '.join(options)}}}}}"
    return Pictures(sources, sorted(set().union(*labels)), counts, feature, (height, width, channels), seen, looked.bad)


class _Looked:
    """Sizes and modes of pictures."""

    def __init__(self) -> None:
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.modes: Counter[str] = Counter()
        self.bad: list[str] = []

    def add(self, entries: Sequence[FileEntry]) -> None:
        """Look at pictures: at the headers of all, and at the pixels of some, evenly spaced."""
        step = max(1, len(entries) // _DECODED)
        for index, entry in enumerate(entries):
            try:
                data = entry.read()
                size, mode = header(data)
                if index % step == 0:
                    decoded(data, _SMALL)
            except (OSError, ValueError) as error:
                self.bad.append(f"`{entry}`: {reason(error) if isinstance(error, OSError) else error}")
                continue
            self.sizes[size] += 1
            self.modes[mode] += 1


def _common_size(sizes: Mapping[tuple[int, int], int], multiple: int) -> tuple[int, int, str]:
    """Height and width of the pictures in a spec, and what was found in words."""
    (height, width), _ = Counter(dict(sizes)).most_common(1)[0]
    seen = f"{height} x {width} pixels"
    if len(sizes) > 1:
        least, most = min(min(size) for size in sizes), max(max(size) for size in sizes)
        seen = f"{len(sizes):,} sizes from {least} to {most} pixels"
        ordered = sorted(min(size) for size, count in sizes.items() for _ in range(min(count, 1000)))
        height = width = min(SIDE, max(8, ordered[len(ordered) // 2]))
    longest = max(height, width)
    scale = min(1.0, SIDE / longest)
    grid = multiple if multiple > 1 else 1 if scale == 1 else 8
    fitted = [max(_LEAST, round(side * scale / grid) * grid) for side in (height, width)]
    return fitted[0], fitted[1], seen


def _idx_files(path: Path) -> dict[str, tuple[Path, Path | None]]:
    """The files of arrays in the IDX format for the options of `data`, each with that of its labels."""
    found: dict[str, tuple[Path, Path | None]] = {}
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        name = file.name.lower()
        if "idx3" not in name or not file.is_file():
            continue
        beside = [other for other in sorted(file.parent.iterdir()) if _pairs(file.name, other.name)]
        labels = beside[0] if beside else None
        option = "test" if name.startswith(("t10k", "test")) else "validation" if name.startswith("val") else "source"
        found.setdefault(option, (file, labels))
    if found and "source" not in found:
        found = {"source": next(iter(found.values()))}
    return found


def _pairs(images: str, labels: str) -> bool:
    """Whether a file of labels belongs to a file of images: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte.gz`."""
    if "idx1" not in labels.lower():
        return False
    return images.lower().partition("image")[0] == labels.lower().partition("label")[0]


def _look_at_idx(given: Given, files: Mapping[str, tuple[Path, Path | None]], multiple: int) -> Pictures:
    sources, counts, classes = {}, {}, set[str]()
    size = (0, 0)
    for option, (images, labels) in files.items():
        named = {"images": images} | ({} if labels is None else {"labels": labels})
        table = Idx.model_validate({name: str(file.absolute()) for name, file in named.items()}).load(Path())
        if table["image"].ndim != 3 or table["image"].dtype != "uint8":
            found = f"{table['image'].dtype} of shape {list(table['image'].shape)}"
            raise RuleViolation("DLC406", f"`{images}` holds no gray pictures", found=found, expected="bytes [n, h, w]")
        size, counts[option] = table["image"].shape[1:], len(table["image"])
        classes |= {str(label) for label in table["label"].tolist()} if "label" in table else set()
        paths = ", ".join(f"{name}: {scalar(given.relative(file))}" for name, file in named.items())
        sources[option] = f"{{idx: {{{paths}}}}}"
    height, width, seen = _common_size({size: 1}, multiple)
    feature = f"{{image: {{size: {height if height == width else [height, width]}, channels: 1}}}}"
    seen = f"{plural(sum(counts.values()), 'gray picture')} of {seen}"
    return Pictures(sources, sorted(classes, key=int), counts, feature, (height, width, 1), seen)
