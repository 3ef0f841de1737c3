"""Every example of every augmentation is run; every change is compared with a definition that dlc did not write."""

from __future__ import annotations

import colorsys
import re
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.interpolate
import scipy.ndimage
import scipy.stats
from PIL import Image, ImageEnhance, ImageOps

from dlc.components.augmentations import AUGMENTATIONS
from dlc.components.augmentations.augmentation import Augmentation
from dlc.components.augmentations.mixing import boxes
from dlc.components.augmentations.policies import OPERATIONS, Choice
from dlc.ir import TensorType
from dlc.kernels.resampling import affine, curve
from dlc.language.options import load_class
from tests.components.building import built


def build(spec: str) -> Augmentation:
    """The augmentation that an item describes, read as a file is read."""
    made = built(spec, "augmentation")
    assert isinstance(made, Augmentation), made
    return made


# ---- the table ----


@pytest.mark.parametrize("word", AUGMENTATIONS)
def test_an_augmentation_is_documented(word: str) -> None:
    cls = load_class(AUGMENTATIONS, word)
    assert issubclass(cls, Augmentation)
    assert cls.word == word
    assert any(example.error is None for example in cls.examples)
    assert any(example.error is not None for example in cls.examples)
    first = (cls.__doc__ or "").splitlines()[0]
    assert re.match(r"\(batch[^()]*\)( or \(batch[^()]*\))?: ", first), f"does not say what it acts on: {first}"
    for name, field in cls.model_fields.items():
        assert field.description, f"`{name}` of `{word}` has no description"


MOVING = [word for word in AUGMENTATIONS if load_class(AUGMENTATIONS, word).moves]


@pytest.mark.parametrize("word", MOVING)
def test_labels_move_as_the_values_do(word: str) -> None:
    """The label of each place is the value there: so it is afterwards."""
    series = TensorType.parse("f32[batch, 9, 2]")
    image = "f32[batch, 8, 8, 1]"
    cls = load_class(AUGMENTATIONS, word)
    nearest = "interpolation" in cls.model_fields
    made = build(f"{word}: {{interpolation: nearest}}" if nearest else word)
    is_image = any(example.on[0].count(",") == 3 for example in cls.examples if isinstance(example.on, tuple))
    kind = TensorType.parse(image) if is_image else series
    generator = np.random.default_rng(0)
    labels = jnp.asarray(generator.integers(0, 9, (64, *kind.shape[1:-1])), jnp.int32)
    values = jnp.broadcast_to(labels[..., None], (64, *kind.shape[1:])).astype(jnp.float32)
    x, y = jax.jit(made.apply)(jax.random.key(3), values, labels)
    assert y.dtype == jnp.int32 and not np.array_equal(y, labels)
    if word in ("time_warp", "window_slice"):  # between points values are mixed, labels are those of the nearest
        assert np.array_equal(jnp.round(read_nearest(made, labels, jax.random.key(3))), y)
    else:
        assert np.array_equal(x[..., 0], y)


def read_nearest(made: Augmentation, labels: jax.Array, key: jax.Array) -> jax.Array:
    """Labels read where a ramp that is moved alike says: an independent way to the same points."""
    ramp = jnp.broadcast_to(jnp.arange(labels.shape[1], dtype=jnp.float32), labels.shape)
    (places,) = made.apply(key, ramp)
    return jnp.take_along_axis(labels, jnp.floor(places + 0.5).astype(jnp.int32), 1)


# ---- images ----


@cache
def images(size: tuple[int, ...] = (3, 9, 8, 3)) -> np.ndarray[Any, Any]:
    """Bytes as numbers from 0 to 1, so that Pillow sees the same."""
    return (np.random.default_rng(1).integers(0, 256, size) / 255).astype(np.float32)


@pytest.mark.parametrize(("interpolation", "order"), [("bilinear", 1), ("nearest", 0)])
@pytest.mark.parametrize(
    ("mode", "theirs"),
    [("constant", "grid-constant"), ("edge", "nearest"), ("reflect", "mirror"), ("wrap", "grid-wrap")],
)
def test_affine_maps_agree_with_scipy(interpolation: Any, order: int, mode: Any, theirs: str) -> None:
    generator = np.random.default_rng(0)
    x = images()
    matrix = generator.normal(size=(3, 2, 2)).astype(np.float32)
    offset = generator.normal(size=(3, 2)).astype(np.float32) * 3
    got = affine(jnp.asarray(x), jnp.asarray(matrix), jnp.asarray(offset), interpolation, mode, 0.7)
    centre = np.array([(9 - 1) / 2, (8 - 1) / 2])
    for index in range(3):
        m = matrix[index].astype(np.float64)
        shift = centre - m @ centre + offset[index]
        for channel in range(3):
            picture = x[index, :, :, channel].astype(np.float64)
            want = scipy.ndimage.affine_transform(
                picture, m, shift, order=order, mode=theirs, cval=0.7, prefilter=False
            )
            np.testing.assert_allclose(got[index, :, :, channel], want, atol=2e-5)


def test_maps_of_the_words_agree_with_scipy() -> None:
    """What is drawn for a fixed amount means what the docstring says."""
    x = jnp.asarray(images((2, 9, 9, 1)))
    key = jax.random.key(0)
    (turned,) = build("random_rotate: [90, 90]").apply(key, x)
    np.testing.assert_allclose(turned[0, :, :, 0], np.rot90(x[0, :, :, 0]), atol=1e-4)  # anticlockwise
    (zoomed,) = build("random_zoom: [2, 2]").apply(key, x)
    want = scipy.ndimage.affine_transform(x[0, :, :, 0], np.eye(2) / 2, (2, 2), order=1)
    np.testing.assert_allclose(zoomed[0, :, :, 0], want, atol=1e-6)
    (sheared,) = build("random_shear: {degrees: [45, 45], interpolation: nearest}").apply(key, x)
    for row in range(9):  # a row moves by its distance from the middle
        away = row - 4
        shifted = np.zeros(9, np.float32)
        for column in range(9):
            if 0 <= column + away < 9:
                shifted[column] = x[0, row, column + away, 0]
        np.testing.assert_allclose(sheared[0, row, :, 0], shifted, atol=1e-6)


def test_moves_agree_with_keras() -> None:
    """Keras' own layers with factors that leave nothing to chance; its constant edges differ, so the inside counts."""
    from tests.reference.keras_conformance import keras

    x = images((2, 32, 32, 3))
    inside = np.s_[:, 8:-8, 8:-8]
    options = {"fill_mode": "constant", "fill_value": 0.0, "data_format": "channels_last"}
    cases = [
        ("random_rotate: [30, 30]", keras.layers.RandomRotation((30 / 360, 30 / 360), **options)),
        ("random_zoom: [1.25, 1.25]", keras.layers.RandomZoom((-0.2, -0.2), **options)),
    ]
    for spec, layer in cases:
        (got,) = build(spec).apply(jax.random.key(0), jnp.asarray(x))
        want = np.asarray(layer(x, training=True))
        np.testing.assert_allclose(np.asarray(got)[inside], want[inside], atol=2e-3, err_msg=spec)


def test_flips_agree_with_numpy() -> None:
    x = images()
    made = build("random_flip: both")
    drawn = jnp.array([[True, False], [False, True], [True, True]])
    got = made.change(jnp.asarray(x), drawn, None)
    assert np.array_equal(got, [x[0, ::-1], x[1, :, ::-1], x[2, ::-1, ::-1]])
    rates = np.asarray(made.draw(jax.random.key(0), jnp.zeros((4000, 1, 1, 1)), None))
    assert np.abs(rates.mean(0) - 0.5).max() < 0.03 and abs((rates[:, 0] & rates[:, 1]).mean() - 0.25) < 0.03
    rates = np.asarray(build("random_flip: {p: 0.2}").draw(jax.random.key(0), jnp.zeros((4000, 1, 1, 1)), None))
    assert abs(rates[:, 1].mean() - 0.2) < 0.03 and not rates[:, 0].any()


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_crops_agree_with_numpy(mode: str) -> None:
    x = images()
    made = build(f"random_crop: {{padding: [2, 3], mode: {mode}}}")
    starts = [(0, 0), (4, 6), (1, 5)]
    got = made.change(jnp.asarray(x), jnp.array(starts), None)
    wide = np.pad(x, ((0, 0), (2, 2), (3, 3), (0, 0)), mode=mode)  # type: ignore[call-overload]
    assert np.array_equal(got, [wide[i, r : r + 9, c : c + 8] for i, (r, c) in enumerate(starts)])
    drawn = np.asarray(made.draw(jax.random.key(0), jnp.zeros((3500, 9, 8, 3)), None))
    for axis, count in ((0, 5), (1, 7)):
        seen = np.bincount(drawn[:, axis], minlength=count)
        assert len(seen) == count and scipy.stats.chisquare(seen).pvalue > 1e-3


def test_what_lies_outside_is_value_or_label() -> None:
    made = build("random_crop: {padding: 1, value: 7, label: 3}")
    x, y = jnp.zeros((1, 2, 2, 1)), jnp.zeros((1, 2, 2), jnp.int32)
    start = jnp.array([[0, 0]])
    assert np.array_equal(made.change(x, start, None)[0, :, :, 0], [[7, 7], [7, 0]])
    assert np.array_equal(made.change(y, start, None)[0], [[3, 3], [3, 0]])


def test_parts_of_random_size_lie_inside() -> None:
    """A resized part holds nothing from outside, has the shares drawn, and all of a whole is the image."""
    made = build("random_resized_crop: [0.25, 0.5]")
    x = jnp.zeros((2000, 10, 20, 1))
    matrix, offset = made.draw(jax.random.key(0), x, None)
    shares = np.stack([matrix[:, 0, 0], matrix[:, 1, 1]], -1)
    room = (1 - shares) * [10, 20] / 2
    assert (np.abs(offset) <= room + 1e-4).all() and (np.abs(offset).max(0) > 0.7 * room.max(0)).all()
    area, aspect = shares.prod(-1), shares[:, 1] / shares[:, 0]
    assert area.min() >= 0.2499 and area.max() <= 0.5001 and abs(area.mean() - 0.375) < 0.01
    assert aspect.min() >= 0.7499 and aspect.max() <= 1.3334 and abs(np.log(aspect).mean()) < 0.02
    whole = build("random_resized_crop: {scale: [1, 1], ratio: [1, 1]}").apply(jax.random.key(0), jnp.asarray(images()))
    np.testing.assert_allclose(whole[0], images(), atol=1e-6)


def test_amounts_are_drawn_evenly() -> None:
    x = jnp.zeros((3000, 10, 20, 1))
    angles = build("random_rotate: [10, 40]").draw(jax.random.key(0), x, None).matrix
    degrees = np.degrees(np.arctan2(angles[:, 0, 1], angles[:, 0, 0]))
    assert scipy.stats.kstest(degrees, "uniform", (10, 30)).pvalue > 1e-3
    offset = np.asarray(build("random_translate: [0.1, 0.5]").draw(jax.random.key(0), x, None).offset)
    for axis, most in ((0, 1.0), (1, 10.0)):
        assert scipy.stats.kstest(offset[:, axis], "uniform", (-most, 2 * most)).pvalue > 1e-3
    factors = np.asarray(build("random_contrast: 0.3").draw(jax.random.key(0), x, None))
    assert scipy.stats.kstest(factors, "uniform", (0.7, 0.6)).pvalue > 1e-3


def test_p_is_a_share_of_the_examples() -> None:
    x = jnp.ones((4000, 2, 2, 1))
    (y,) = build("random_brightness: {factor: [0.5, 0.5], p: 0.3}").apply(jax.random.key(0), x)
    assert set(np.unique(y)) == {np.float32(0.5), np.float32(1)}
    assert abs((np.asarray(y)[:, 0, 0, 0] == 0.5).mean() - 0.3) < 0.03
    assert np.array_equal(y.min((1, 2, 3)), y.max((1, 2, 3))), "an example is changed as a whole"


def pillow(x: np.ndarray[Any, Any]) -> Image.Image:
    return Image.fromarray(np.round(x * 255).astype(np.uint8))


FACTORS = np.array([0.4, 1.0, 1.6], np.float32)


@pytest.mark.parametrize(
    ("word", "enhance"),
    [
        ("random_brightness", ImageEnhance.Brightness),
        ("random_contrast", ImageEnhance.Contrast),
        ("random_saturation", ImageEnhance.Color),
    ],
)
def test_factors_agree_with_pillow(word: str, enhance: Any) -> None:
    got = build(word).change(jnp.asarray(images()), jnp.asarray(FACTORS), None)
    for index, factor in enumerate(FACTORS):
        want = np.asarray(enhance(pillow(images()[index])).enhance(float(factor))) / 255
        np.testing.assert_allclose(got[index], want, atol=2.1 / 255)  # Pillow works on bytes, rounding twice


def test_contrast_of_one_channel() -> None:
    x = images()[..., :1]
    got = build("random_contrast").change(jnp.asarray(x), jnp.asarray(FACTORS), None)
    mean = x.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(got, np.clip(mean + FACTORS[:, None, None, None] * (x - mean), 0, 1), atol=1e-6)


def test_hues_agree_with_colorsys() -> None:
    x = images((2, 5, 5, 3)).copy()
    x[0, 0] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1]]
    iterations = np.array([0.3, -0.45], np.float32)
    got = np.asarray(build("random_hue").change(jnp.asarray(x), jnp.asarray(iterations), None))
    for place in np.ndindex(2, 5, 5):
        hue, saturation, value = colorsys.rgb_to_hsv(*x[place].astype(float))
        want = colorsys.hsv_to_rgb((hue + iterations[place[0]]) % 1, saturation, value)
        np.testing.assert_allclose(got[place], want, atol=2e-6)


def test_colors_agree_with_pillow() -> None:
    x = jnp.asarray(images())
    gray = build("random_grayscale").change(x, None, None)
    solar = build("random_solarize").change(x, jnp.full(3, 0.5), None)
    poster = build("random_posterize").change(x, jnp.array([1, 3, 7]), None)
    invert = build("random_invert").change(x, None, None)
    for index, bits in enumerate((1, 3, 7)):
        picture = pillow(images()[index])
        np.testing.assert_allclose(gray[index, :, :, 0], np.asarray(picture.convert("L")) / 255, atol=1.01 / 255)
        np.testing.assert_allclose(solar[index], np.asarray(ImageOps.solarize(picture, 128)) / 255, atol=1e-6)
        np.testing.assert_allclose(poster[index], np.asarray(ImageOps.posterize(picture, bits)) / 255, atol=1e-6)
        np.testing.assert_allclose(invert[index], np.asarray(ImageOps.invert(picture)) / 255, atol=1e-6)


@pytest.mark.parametrize(
    "word",
    ["random_brightness", "random_contrast", "random_saturation", "random_hue", "random_invert", "random_solarize"],
)
def test_a_range_of_values_is_one_of_0_to_1(word: str) -> None:
    """Values from -1 to 1 with that range are changed as those from 0 to 1 are."""
    x = jnp.asarray(images())
    plain = build(word).apply(jax.random.key(0), x)[0]
    wide = build(f"{word}: {{value_range: [-1, 1]}}").apply(jax.random.key(0), 2 * x - 1)[0]
    np.testing.assert_allclose(wide, 2 * plain - 1, atol=2e-5)


def test_blur_agrees_with_scipy() -> None:
    x, sigmas = images(), np.array([0.3, 1.0, 2.0], np.float32)
    got = build("gaussian_blur: {kernel: 7}").change(jnp.asarray(x), jnp.asarray(sigmas), None)
    for index, sigma in enumerate(sigmas):
        weights = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
        want = x[index].astype(np.float64)
        for axis in (0, 1):
            want = scipy.ndimage.correlate1d(want, weights / weights.sum(), axis=axis, mode="mirror")
        np.testing.assert_allclose(got[index], want, atol=1e-6)


def test_erased_rectangles_have_the_size_drawn() -> None:
    x = jnp.ones((2000, 20, 30, 2))
    made = build("random_erasing: {p: 1, scale: [0.1, 0.2], ratio: [0.5, 2]}")
    (y,) = made.apply(jax.random.key(0), x)
    hidden = np.asarray(y)[..., 0] == 0
    assert np.array_equal(hidden, np.asarray(y)[..., 1] == 0)
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert np.array_equal(rows * columns, hidden.sum((1, 2))), "a rectangle"
    area = hidden.mean((1, 2))
    assert area.min() > 0.08 and area.max() < 0.23 and abs(area.mean() - 0.15) < 0.01
    ratio = np.log(rows / columns)
    assert abs(ratio.mean()) < 0.05 and abs(ratio.max() - np.log(2)) < 0.15
    first = hidden.any(2).argmax(1)
    assert first.min() == 0 and (first + rows).max() == 20
    (noisy,) = build("random_erasing: {p: 1, fill: noise}").apply(jax.random.key(0), 0 * x)
    filled = np.asarray(noisy)[np.asarray(noisy) != 0]
    assert abs(filled.mean()) < 0.02 and abs(filled.std() - 1) < 0.02


def test_cutout_is_a_square_around_any_pixel() -> None:
    (y,) = build("cutout: 4").apply(jax.random.key(0), jnp.ones((2000, 8, 10, 1)))
    hidden = np.asarray(y)[..., 0] == 0
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 4, 2, 4)
    assert abs((rows == 4).mean() - 5 / 8) < 0.05 and abs((columns == 4).mean() - 7 / 10) < 0.05


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_of_rand_augment(name: str) -> None:
    """Each against Pillow, or against the word that does the same, for the strength that torchvision gives."""
    made = build("rand_augment: {num_ops: 1, magnitude: 15}")
    x = images((1, 9, 9, 3))
    drawn = Choice(jnp.array([[OPERATIONS.index(name)]]), jnp.array([[1.0]]))
    got = np.asarray(made.change(jnp.asarray(x), drawn, None))[0]
    picture = pillow(x[0])
    shape, strength = (9, 9), 0.5
    middle = (np.array(shape) - 1) / 2
    maps: dict[str, tuple[Any, Any]] = {
        "shear_x": ([[1, 0], [0.3 * strength, 1]], (0, 0)),
        "shear_y": ([[1, 0.3 * strength], [0, 1]], (0, 0)),
        "translate_x": (np.eye(2), (0, 150 / 331 * 9 * strength)),
        "translate_y": (np.eye(2), (150 / 331 * 9 * strength, 0)),
        "rotate": (rotation(15.0), (0, 0)),
    }
    enhanced = {
        "brightness": ImageEnhance.Brightness,
        "saturation": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in maps:
        matrix, offset = np.array(maps[name][0]), np.array(maps[name][1])
        for channel in range(3):
            shift = middle - matrix @ middle + offset
            want = scipy.ndimage.affine_transform(x[0, ..., channel], matrix, shift, order=1, mode="grid-constant")
            np.testing.assert_allclose(got[..., channel], want, atol=1e-5)
        return
    wanted = {
        "identity": lambda: picture,
        "posterize": lambda: ImageOps.posterize(picture, 6),
        "solarize": lambda: ImageOps.solarize(picture, 128),
        "autocontrast": lambda: ImageOps.autocontrast(picture),
        **{key: lambda key=key: enhanced[key](picture).enhance(1.45) for key in enhanced},
    }
    np.testing.assert_allclose(got, np.asarray(wanted[name]()) / 255, atol=2.1 / 255)


def rotation(degrees: float) -> list[list[float]]:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [[cos, sin], [-sin, cos]]


def test_rand_augment_draws_every_operation() -> None:
    drawn = build("rand_augment: {num_ops: 3}").draw(jax.random.key(0), jnp.zeros((3000, 4, 4, 1)), None)
    assert drawn.operation.shape == (3000, 3)
    assert scipy.stats.chisquare(np.bincount(np.asarray(drawn.operation).ravel())).pvalue > 1e-3
    assert abs(np.asarray(drawn.sign).mean()) < 0.03


# ---- series ----


def series(length: int = 9, channels: int = 2) -> np.ndarray[Any, Any]:
    return np.random.default_rng(2).normal(size=(3, length, channels)).astype(np.float32)


MASK = np.arange(9)[None] < np.array([9, 6, 5])[:, None]


def test_curves_agree_with_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    places = np.linspace(0, 5, 41)
    got = curve(jnp.asarray(values), jnp.broadcast_to(jnp.asarray(places, jnp.float32), (2, 41)))
    want = scipy.interpolate.CubicSpline(np.arange(6), values, axis=1, bc_type="natural")(places)
    np.testing.assert_allclose(got, want, atol=2e-6)
    line = curve(jnp.asarray(values[:, :2]), jnp.broadcast_to(jnp.array([0.0, 0.25, 1.0]), (2, 3)))
    np.testing.assert_allclose(line[:, 1], 0.75 * values[:, 0] + 0.25 * values[:, 1], atol=1e-6)


def test_magnitudes_follow_the_curve() -> None:
    made = build("magnitude_warp: {stddev: 0.2, knots: 3}")
    x, mask = series(), jnp.asarray(MASK)
    knots = made.draw(jax.random.key(0), jnp.asarray(x), mask)
    got = made.change(jnp.asarray(x), knots, mask)
    for index, length in enumerate((9, 6, 5)):
        spline = scipy.interpolate.CubicSpline(np.arange(5), knots[index], bc_type="natural")
        factors = spline(np.arange(length) / (length - 1) * 4)
        np.testing.assert_allclose(got[index, :length], x[index, :length] * factors, rtol=2e-5, atol=2e-6)
    many = np.asarray(made.draw(jax.random.key(0), jnp.zeros((2000, 9, 2)), None))
    assert many.shape == (2000, 5, 2) and abs(many.mean() - 1) < 0.01 and abs(many.std() - 0.2) < 0.01


def test_warped_time_agrees_with_numpy() -> None:
    made = build("time_warp: {stddev: 0.4, knots: 3}")
    x, mask = series(), jnp.asarray(MASK)
    knots = made.draw(jax.random.key(4), jnp.asarray(x), mask)
    got = np.asarray(made.change(jnp.asarray(x), knots, mask))
    for index, length in enumerate((9, 6, 5)):
        spline = scipy.interpolate.CubicSpline(np.arange(5), knots[index, :, 0], bc_type="natural")
        speed = np.maximum(spline(np.arange(length) / (length - 1) * 4), 0.1)
        time = np.cumsum(speed) - speed[0]
        time *= (length - 1) / time[-1]
        assert (np.diff(time) > 0).all()
        for channel in range(2):
            want = np.interp(time, np.arange(length), x[index, :length, channel])
            np.testing.assert_allclose(got[index, :length, channel], want, atol=1e-5)


def test_window_slices_agree_with_numpy() -> None:
    made = build("window_slice: 0.5")
    x, mask = series(), jnp.asarray(MASK)
    got = np.asarray(made.change(jnp.asarray(x), jnp.array([0.0, 1.0, 0.3]), mask))
    for index, (length, begin) in enumerate(((9, 0.0), (6, 1.0), (5, 0.3))):
        time = begin * 0.5 * (length - 1) + 0.5 * np.arange(length)
        for channel in range(2):
            want = np.interp(time, np.arange(length), x[index, :length, channel])
            np.testing.assert_allclose(got[index, :length, channel], want, atol=1e-6)


@pytest.mark.parametrize("fill", ["wrap", "zero"])
def test_shifts_agree_with_numpy(fill: str) -> None:
    made = build(f"time_shift: {{fill: {fill}}}")
    x, mask = series(), jnp.asarray(MASK)
    got = np.asarray(made.change(jnp.asarray(x), jnp.array([2, -1, 5]), mask))
    for index, (length, by) in enumerate(((9, 2), (6, -1), (5, 5))):
        want = np.roll(x[index, :length], by, 0)
        if fill == "zero":
            lost = np.arange(length) < by if by > 0 else np.arange(length) >= length + by
            want = np.where(lost[:, None], 0, want)
        assert np.array_equal(got[index, :length], want)
    drawn = np.asarray(build("time_shift: 0.5").draw(jax.random.key(0), jnp.zeros((4000, 20)), None))
    assert (drawn.min(), drawn.max()) == (-10, 10) and abs(drawn.mean()) < 0.3


def test_permutations_agree_with_numpy() -> None:
    made = build("permutation: 3")
    x, mask = series(), jnp.asarray(MASK)
    orders = [[2, 0, 1], [1, 0, 2], [2, 1, 0]]
    got = np.asarray(made.change(jnp.asarray(x), jnp.array(orders), mask))
    for index, length in enumerate((9, 6, 5)):
        edges = np.arange(4) * length // 3
        want = np.concatenate([x[index, edges[k] : edges[k + 1]] for k in orders[index]])
        assert np.array_equal(got[index, :length], want)
    drawn = np.asarray(made.draw(jax.random.key(0), jnp.zeros((3000, 9)), None))
    assert (np.sort(drawn, 1) == np.arange(3)).all()
    assert scipy.stats.chisquare(np.unique(drawn, axis=0, return_counts=True)[1]).pvalue > 1e-3


def test_hidden_stretches_have_the_lengths_of_the_paper() -> None:
    """Widths from 0 to `width`, places where they fit, all drawn evenly; none past a series' end."""
    x = jnp.ones((4000, 12, 3))
    (y,) = build("time_mask: 4").apply(jax.random.key(0), x)
    hidden = np.asarray(y)[..., 0] == 0
    assert np.array_equal(hidden, np.asarray(y)[..., 2] == 0)
    widths = hidden.sum(1)
    assert scipy.stats.chisquare(np.bincount(widths, minlength=5)).pvalue > 1e-3 and widths.max() == 4
    starts = hidden[widths == 4].argmax(1)
    assert scipy.stats.chisquare(np.bincount(starts, minlength=9)).pvalue > 1e-3
    mask = jnp.broadcast_to(jnp.arange(12) < 6, (4000, 12))
    (y,) = build("time_mask: {width: 12, most: 0.5, count: 2}").apply(jax.random.key(0), x, masks=[mask])
    hidden = np.asarray(y)[..., 0] == 0
    assert hidden[:, :6].any() and not hidden[:, 6:].any() and hidden.sum(1).max() == 6
    (y,) = build("frequency_mask: {width: 2, value: -1}").apply(jax.random.key(0), x)
    hidden = np.asarray(y) == -1
    assert np.array_equal(hidden.all(1), hidden.any(1)), "a band is hidden at all times"
    assert scipy.stats.chisquare(np.bincount(hidden.all(1).sum(1), minlength=3)).pvalue > 1e-3


def test_noise_has_the_level_asked_for() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4000, 2)) * [[[1]], [[10]], [[0]]], jnp.float32)
    mask = jnp.broadcast_to(jnp.arange(4000) < 3000, (3, 4000))
    loud = jnp.where(mask[..., None], x, 1e3)  # what lies in the padding must not count
    (y,) = build("add_noise: [10, 10]").apply(jax.random.key(0), loud, masks=[mask])
    noise = np.asarray(y - loud)[:, :3000]
    power = np.square(np.asarray(x)[:, :3000]).mean((1, 2))
    np.testing.assert_allclose(10 * np.log10(power[:2] / np.square(noise[:2]).mean((1, 2))), 10, atol=0.2)
    assert not noise[2].any(), "silence stays silence"
    (y,) = build("jitter: 0.3").apply(jax.random.key(0), x)
    assert abs(np.asarray(y - x).std() - 0.3) < 0.005
    (one, other) = build("jitter: 0.3").apply(jax.random.key(0), x, x)
    assert abs(np.corrcoef(np.ravel(one - x), np.ravel(other - x))[0, 1]) < 0.02, "noise of each value by itself"


def test_scales_of_series() -> None:
    x = jnp.ones((4000, 5, 2))
    (y,) = build("scaling: 0.2").apply(jax.random.key(0), x)
    factors = np.asarray(y)
    assert np.array_equal(factors, np.broadcast_to(factors[:, :1], factors.shape)), "one factor a channel"
    assert abs(factors.mean() - 1) < 0.01 and abs(factors[:, 0].std() - 0.2) < 0.01
    assert abs(np.corrcoef(factors[:, 0, 0], factors[:, 0, 1])[0, 1]) < 0.05
    (y,) = build("random_gain: [-20, 6]").apply(jax.random.key(0), x)
    decibels = 20 * np.log10(np.asarray(y)[:, 0, 0])
    assert scipy.stats.kstest(decibels, "uniform", (-20, 26)).pvalue > 1e-3
    (y,) = build("polarity_flip: 0.25").apply(jax.random.key(0), x)
    assert abs((np.asarray(y)[:, 0, 0] == -1).mean() - 0.25) < 0.03
    (y,) = build("random_drop: {rate: 0.2, value: 9}").apply(jax.random.key(0), x)
    assert abs((np.asarray(y) == 9).mean() - 0.2) < 0.01 and set(np.unique(y)) == {1, 9}


# ---- mixing ----


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    _, mixed = build(f"mixup: {alpha}").mix(jax.random.key(0), jnp.zeros((4000, 1)))  # type: ignore[attr-defined]
    assert mixed.lam.dtype == jnp.float32 and mixed.permutation.dtype == jnp.int32
    assert np.array_equal(np.sort(mixed.permutation), np.arange(4000))
    assert scipy.stats.kstest(np.asarray(mixed.lam, np.float64), "beta", (alpha, alpha)).pvalue > 1e-3


def test_mixup_is_a_weighted_mean() -> None:
    x, z = jnp.asarray(images()), jnp.asarray(series())
    (mixed_x, mixed_z), (permutation, lam) = build("mixup: 1").mix(jax.random.key(1), x, z)  # type: ignore[attr-defined]
    for got, given in ((mixed_x, np.asarray(x)), (mixed_z, np.asarray(z))):
        for index in range(3):
            want = lam[index] * given[index] + (1 - lam[index]) * given[permutation[index]]
            np.testing.assert_allclose(got[index], want, atol=1e-6)


def test_p_of_mixing_leaves_examples_as_they_are() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 2, 2, 1)), jnp.float32)
    for spec in ("mixup: {alpha: 1, p: 0.4}", "cutmix: {p: 0.4}"):
        (y,), mixed = build(spec).mix(jax.random.key(1), x)  # type: ignore[attr-defined]
        whole = np.asarray(mixed.lam) == 1
        assert np.array_equal(np.asarray(y)[whole], np.asarray(x)[whole])
        if spec.startswith("mixup"):
            assert abs(whole.mean() - 0.6) < 0.04


def test_cutmix_says_the_share_that_is_left() -> None:
    """Each pixel is the example's own or the partner's, the latter fill a rectangle, lam is the share of the rest."""
    count, height, width = 500, 8, 12
    own = np.arange(count, dtype=np.float32)
    x = jnp.broadcast_to(jnp.asarray(own)[:, None, None, None], (count, height, width, 2))
    (y,), (permutation, lam) = build("cutmix").mix(jax.random.key(0), x)  # type: ignore[attr-defined]
    pixels, partner = np.asarray(y), np.asarray(permutation)
    theirs = pixels[..., 0] != own[:, None, None]
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    assert np.array_equal(pixels[..., 0], np.where(theirs, partner[:, None, None], own[:, None, None]))
    assert np.array_equal(theirs.any(2).sum(1) * theirs.any(1).sum(1), theirs.sum((1, 2)))
    moved = partner != own
    np.testing.assert_allclose(np.asarray(lam)[moved], 1 - theirs.mean((1, 2))[moved], atol=1e-6)
    box = boxes(jnp.array([0.75, 0.75]), jnp.array([[0.5, 0.5], [0.0, 0.99]]), 8, 12)
    assert [tuple(int(part[index]) for part in box) for index in (0, 1)] == [(2, 6, 3, 9), (0, 2, 8, 12)]
