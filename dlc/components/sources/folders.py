"""Folders of files, one record each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dlc.components.sources.paths import absolute
from dlc.components.sources.references import FileEntry
from dlc.components.sources.source import Columns, Source
from dlc.diagnostics import listing, plural, reason
from dlc.language.options import RuleViolation, main
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Extensions of the names of pictures."""


class FolderSource(Source):
    """Shared by sources that read the files of a folder."""

    locations: ClassVar[tuple[str, ...]] = ("path",)

    path: str = main(min_length=1, description="the folder; relative to the spec's folder")

    def for_folder(self, path: Path) -> Self:
        """A source of the same kind that reads another folder."""
        return self.model_copy(update={"path": str(path)})

    def folder(self, base: Path) -> Path:
        """The folder's full path."""
        return Path(absolute(base, self.path))

    def find(self, base: Path) -> None:
        """Check that the folder exists.

        Raises:
            RuleViolation: DLC401.
        """
        folder = self.folder(base)
        try:
            there, exists = folder.is_dir(), folder.exists()
        except (OSError, ValueError) as error:
            raise RuleViolation("DLC401", f"`{folder}` can't be read: {reason(error)}", option="path") from None
        if not there:
            what = "is not a directory" if exists else "does not exist"
            raise RuleViolation("DLC401", f"the folder `{folder}` {what}", option="path")


class ImageFolder(FolderSource):
    """Pictures in folders: `image`, the pictures; `label`, the names of their folders; `file`, their own names.

    Pictures are the files with an extension of a picture format, in subfolders of any depth. The label is the name of
    the subfolder of the first level; a folder that holds pictures itself has no labels. They are read in the order of
    their names. Hidden files, and links that lead out of the folder, are left out.
    """

    word = "image_folder"
    examples = ("image_folder: pictures/train",)

    def write_sample(self, base: Path) -> None:
        """Write two pictures of one pixel, of two classes."""
        for name, pixel in (("black", b"\0"), ("white", b"\xff")):
            folder = self.folder(base) / name
            folder.mkdir(parents=True)
            (folder / "1.pgm").write_bytes(b"P5 1 1 255\n" + pixel)

    def load(self, base: Path) -> Columns:
        """The names of the pictures; they are decoded later."""
        self.find(base)
        folder = self.folder(base)
        try:
            names = sorted(_files(str(folder), "", folder))
        except OSError as error:
            raise RuleViolation("DLC401", f"`{folder}` can't be read: {reason(error)}", option="path") from None
        pictures = [name for name in names if os.path.splitext(name)[1].lower() in IMAGES]  # noqa: PTH122 - it is fast
        if not pictures:
            found = plural(len(names), "other file") if names else "no files"
            expected = f"files with the extension {listing(IMAGES, len(IMAGES))}"
            message = f"the folder `{folder}` has no pictures"
            raise RuleViolation("DLC401", message, found=found, expected=expected, option="path")
        entries = np.empty(len(pictures), object)
        entries[:] = [FileEntry(f"{folder}{os.sep}{name}", name) for name in pictures]
        labels = [name.split("/")[0] for name in pictures if "/" in name]
        if labels and len(labels) < len(pictures):
            loose = next(name for name in pictures if "/" not in name)
            message = f"the folder `{folder}` holds pictures both in subfolders and beside them"
            hint = "move them into a folder of their class"
            raise RuleViolation("DLC401", message, found=f"`{loose}`", hint=hint, option="path")
        columns: dict[str, NDArray[Any]] = {"image": entries}
        if labels:
            columns["label"] = np.array(labels, object)
        return {**columns, "file": np.array(pictures, object)}


def _files(folder: str, before: str, root: Path) -> Iterator[str]:
    """The paths of the files in a folder with `before` in front of them, with `/` between names.

    They are strings: a folder may have millions of files.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not _inside(Path(entry.path), root):
                continue
            if entry.is_dir():
                if entry.is_symlink():  # it leads to files that are found anyway, or around in a circle
                    continue
                yield from _files(entry.path, f"{before}{entry.name}/", root)
            elif entry.is_file():
                yield before + entry.name


def _inside(link: Path, root: Path) -> bool:
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):
        return False
