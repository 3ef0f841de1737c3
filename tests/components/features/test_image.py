"""Pictures: what is decoded from files, beside Pillow; what can't be read; and how a run holds them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import dlc
from dlc.components.features.image import CONSTANTS
from dlc.components.features.pictures import MOST_PIXELS, Target, decoded, header
from dlc.components.sources.references import file_entries
from dlc.components.sources.stored import Stored
from dlc.components.wrong_values import WrongValues
from dlc.data.decoding import FileReader
from dlc.language.options import RuleViolation
from dlc.training.setup import set_up
from tests.components.building import feature

RANDOM = np.random.default_rng(0)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(height: int, width: int, mode: str = "RGB") -> Image.Image:
    channels = len(mode) if mode in ("RGB", "RGBA", "LA") else 1
    pixels = RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode=None if channels != 2 else "LA")


def target(height: int, width: int, channels: int = 3, fit: str = "stretch", how: str = "bilinear") -> Target:
    return Target(height, width, channels, fit, how)


# ---- decoding ----


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_lossless_formats_are_read_exactly(kind: str) -> None:
    picture = noise(5, 7, "L" if kind == "GIF" else "RGB")
    options = {"lossless": True} if kind == "WEBP" else {}
    found = decoded(encoded(picture, kind, **options), target(5, 7))
    np.testing.assert_array_equal(found, np.asarray(picture.convert("RGB")))


def test_modes_become_the_declared_channels() -> None:
    gray, color, alpha = noise(4, 4, "L"), noise(4, 4), noise(4, 4, "RGBA")
    for picture, channels, mode in ((gray, 3, "RGB"), (color, 1, "L"), (alpha, 3, "RGB"), (color, 4, "RGBA")):
        found = decoded(encoded(picture), target(4, 4, channels))
        np.testing.assert_array_equal(found, np.asarray(picture.convert(mode)).reshape(4, 4, channels))
    palette = color.quantize(8)
    np.testing.assert_array_equal(decoded(encoded(palette), target(4, 4)), np.asarray(palette.convert("RGB")))
    deep = RANDOM.integers(0, 65536, (4, 4)).astype(np.uint16)
    np.testing.assert_array_equal(
        decoded(encoded(Image.fromarray(deep)), target(4, 4, 1))[..., 0], (deep >> 8).astype(np.uint8)
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("1", "PNG TIFF PPM BMP GIF"),
        ("L", "PNG TIFF PPM BMP GIF JPEG WEBP"),
        ("LA", "PNG TIFF"),
        ("P", "PNG TIFF BMP GIF"),
        ("RGB", "PNG TIFF PPM BMP JPEG WEBP"),
        ("RGBA", "PNG TIFF WEBP"),
        ("CMYK", "JPEG TIFF"),
        ("YCbCr", "JPEG TIFF"),
        ("I;16", "PNG TIFF PPM"),
    ],
)
def test_each_mode_of_each_format_is_converted_as_by_pillow(mode: str, kinds: str, channels: int) -> None:
    """Of 16 bits the upper ones are kept, as numpy computes them; Pillow would clip to 255."""
    bits = RANDOM.integers(0, 1 << 16, (6, 5)).astype(np.uint16)
    color = noise(6, 5, "RGBA" if mode.endswith("A") else "RGB")
    for kind in kinds.split():
        picture = Image.fromarray(bits) if mode == "I;16" else color.quantize(7) if mode == "P" else color.convert(mode)
        data = encoded(picture, kind)
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft("L" if channels == 1 else "RGB", None)  # a JPEG file holds the gray values
            deep = opened.mode.startswith("I")
            upright = Image.fromarray((np.asarray(opened) // 256).astype(np.uint8)) if deep else opened
            wanted = np.asarray(upright.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
        np.testing.assert_array_equal(decoded(data, target(6, 5, channels)), wanted.reshape(6, 5, channels))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_picture_of_several_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ((250, 0, 0), (0, 250, 0))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red, green, _ = decoded(data, target(4, 4))[0, 0].tolist()
    assert red > 240 and green < 10


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "xmp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(orientation: int, kind: str) -> None:
    """That of EXIF, or of XMP in a JPEG file."""
    picture = noise(6, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    xmp = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()
    data = encoded(picture, "JPEG", xmp=xmp) if kind == "xmp" else encoded(picture, kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert header(data)[0] == upright.size[::-1]
    found = decoded(data, target(upright.height, upright.width))
    np.testing.assert_array_equal(found, np.asarray(upright))


@pytest.mark.parametrize("how", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_pictures_are_resized_as_by_pillow(how: str) -> None:
    picture, method = noise(20, 30), Image.Resampling[how.upper()]
    data = encoded(picture)
    np.testing.assert_array_equal(decoded(data, target(8, 9, how=how)), np.asarray(picture.resize((9, 8), method)))
    cropped = np.asarray(ImageOps.fit(picture, (8, 8), method))
    np.testing.assert_array_equal(decoded(data, target(8, 8, fit="crop", how=how)), cropped)
    padded = np.asarray(ImageOps.pad(picture, (8, 8), method))
    np.testing.assert_array_equal(decoded(data, target(8, 8, fit="pad", how=how)), padded)
    assert (padded[0] == 0).all()


def test_large_jpegs_are_decoded_at_a_smaller_scale() -> None:
    """The difference from a full decoding is small on a smooth picture."""
    rows, columns = np.mgrid[0:240, 0:320]
    smooth = np.stack([rows, columns * 0.7, 255 - rows], -1).clip(0, 255).astype(np.uint8)
    data = encoded(Image.fromarray(smooth), "JPEG", quality=95)
    found = decoded(data, target(60, 80)).astype(int)
    whole = np.asarray(Image.open(io.BytesIO(data)).resize((80, 60), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(found - whole).mean() < 1


# ---- what can't be read ----


def png(width: int, height: int) -> bytes:
    """A small file that declares a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [b"IHDR" + head, b"IDAT" + zlib.compress(b"\0" * 1000), b"IEND"]
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a picture of a known format"),
        (b"just text", "not a picture of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture of a known format"),
        (encoded(noise(40, 40))[:-2000], "damaged"),
        (encoded(noise(40, 40), "JPEG")[:400], "damaged"),
        (png(60_000, 60_000), "too many pixels"),
        (png(12_000, 12_000), "12,000 x 12,000 pixels"),
    ],
    ids=["empty", "text", "eps", "png", "jpeg", "bomb", "large"],
)
def test_files_that_are_no_pictures(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "good.png").write_bytes(encoded(noise(4, 4)))
    (tmp_path / "bad.jpg").write_bytes(data)
    names = np.array(["good.png", "bad.jpg", "good.png", "gone.png"], object)
    with pytest.raises(WrongValues) as caught:
        FileReader().read(target(4, 4), file_entries(names, tmp_path, "photo", 1), "photo", 11)
    wrong = caught.value
    assert (wrong.code, wrong.row) == ("DLC403", 12)
    assert [key.split(":")[0] for key in wrong.counts] == ["`bad.jpg`", "`gone.png`"]
    assert why in (wrong.found or "") and "no such file" in (wrong.found or "")
    assert MOST_PIXELS < 12_000**2


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(WrongValues, match="not a picture"):
        FileReader().read(target(4, 4), file_entries(np.array(["pipe.png"], object), tmp_path, "x", 1), "x", 1)
    with pytest.raises(WrongValues, match="not the name of a file"):
        file_entries(np.array(["a.png", ""], object), tmp_path, "x", 1)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros((2, 5)), "DLC406"),
        (np.zeros((2, 4, 4, 2), np.uint8), "DLC406"),
        (np.full((2, 4, 4), 256), "DLC403"),
        (np.full((2, 4, 4), 0.5), "DLC403"),
        (np.zeros((2, 4, 4), complex), "DLC403"),
    ],
)
def test_arrays_that_are_no_pictures(values: np.ndarray, code: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        feature("image: 4").read([values], "x")
    assert caught.value.code == code


def test_arrays_are_resized_and_converted() -> None:
    gray = RANDOM.integers(0, 256, (3, 10, 12))
    found = feature("image: {size: [5, 6]}").read([gray.astype(float)], "x")
    assert found.shape == (3, 5, 6, 3) and found.dtype == np.uint8
    for record, picture in zip(found, gray, strict=True):
        small = Image.fromarray(picture.astype(np.uint8)).convert("RGB").resize((6, 5), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(record, np.asarray(small))


# ---- normalization ----


@pytest.mark.parametrize("how", ["unit", "signed", "none"])
def test_bytes_are_scaled(how: str) -> None:
    made, raw = feature(f"image: {{size: 2, normalize: {how}}}"), RANDOM.integers(0, 256, (5, 2, 2, 3), dtype=np.uint8)
    stats = made.fit(raw)
    shift, scale = CONSTANTS[how]
    value = made.encode(raw, stats)
    np.testing.assert_allclose(value, (raw - shift) / scale, rtol=1e-6)
    np.testing.assert_allclose(made.decode(value, stats), raw, rtol=1e-6, atol=1e-4)


def test_channels_are_standardized_by_the_training_split() -> None:
    raw = RANDOM.integers(0, 256, (50, 3, 4, 3), dtype=np.uint8)
    made = feature("image: {size: [3, 4], normalize: standard}")
    stats = made.fit(raw)
    np.testing.assert_allclose(stats["shift"], raw.mean((0, 1, 2), dtype=np.float64))
    np.testing.assert_allclose(stats["scale"], raw.std((0, 1, 2), dtype=np.float64))


# ---- in a run ----

SPEC = """
data: {source: {SOURCE}, split: {validation: 8}}
inputs: {photo: {image: {size: 6, normalize: standard}}}
targets: {kind: {category: [cat, dog]}}
network: [flatten, dense: 2]
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 0.01}
train: {epochs: 2, batch_size: 8}
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that names pictures relative to itself, in a folder of its own; and their arrays."""
    folder = tmp_path_factory.mktemp("pictures") / "set"
    (folder / "files").mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
    kinds = ["cat" if picture.mean() > 127 else "dog" for picture in pixels]
    lines = ["photo,kind"]
    for number, (picture, kind) in enumerate(zip(pixels, kinds, strict=True)):
        Image.fromarray(picture).save(folder / "files" / f"{number}.png")
        lines.append(f"files/{number}.png,{kind}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    np.savez(folder / "arrays.npz", photo=pixels, kind=np.array(kinds))
    return folder


def test_a_run_holds_bytes_and_trains_alike_from_files_and_arrays(table: Path, tmp_path: Path) -> None:
    weights = []
    for source in ("{csv: table.csv}", "{npz: arrays.npz}"):
        (table / "spec.yaml").write_text(SPEC.replace("{SOURCE}", source))
        spec = dlc.load(table / "spec.yaml")
        setup = set_up(spec.plan)
        assert setup.feeder.rows["inputs"]["photo"].dtype == np.uint8
        assert setup.feeder.rows["inputs"]["photo"].nbytes == 40 * 6 * 6 * 3
        run = tmp_path / str(len(weights))
        dlc.train(spec, run=run)
        weights.append((run / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_pictures_that_do_not_fit_into_memory_are_decoded_once(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go to a scratch file, block by block."""
    read: list[int] = []
    whole = FileReader.read

    def counted(self: FileReader, decoder: Target, column: Any, *rest: Any) -> Any:
        read.append(len(column))
        return whole(self, decoder, column, *rest)

    monkeypatch.setattr(FileReader, "read", counted)
    monkeypatch.setenv("DLC_CACHE", "off")
    monkeypatch.setattr("dlc.data.tables.DECODED_BYTES", 15 * 6 * 6 * 3)
    (table / "spec.yaml").write_text(SPEC.replace("{SOURCE}", "{csv: table.csv}"))
    weights = []
    for memory in ("1 GB", "4 kB"):
        read.clear()
        spec = dlc.load(table / "spec.yaml", [f"data.memory={memory}"])
        setup = set_up(spec.plan)
        assert isinstance(setup.feeder.rows["inputs"]["photo"], Stored) == (memory == "4 kB")
        run = tmp_path / str(len(weights))
        dlc.train(spec, run=run)
        weights.append((run / "weights.safetensors").read_bytes())
        assert sum(read) == 2 * 40 and max(read) <= 15  # `set_up` and `train`
    assert weights[0] == weights[1]


@pytest.mark.parametrize("picture", [Image.new("F", (3, 3)), Image.new("I", (3, 3))], ids=["float", "int"])
def test_pictures_of_32_bits_are_refused(picture: Image.Image) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        decoded(encoded(picture, "TIFF"), target(3, 3, 1))


def test_the_transparency_of_a_palette_is_dropped_silently() -> None:
    picture = noise(4, 4).quantize(8)
    picture.info["transparency"] = bytes([0, 128])
    found = decoded(encoded(picture, transparency=bytes([0, 128])), target(4, 4))
    np.testing.assert_array_equal(found, np.asarray(picture.convert("RGBA").convert("RGB")))
