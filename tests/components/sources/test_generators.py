"""Data that are computed: by their definitions, by scikit-learn's, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from dlc.components.sources import SOURCES
from dlc.components.sources.generators import Generated
from dlc.language.options import build_word, load_class
from dlc.language.yaml_text import parse_yaml
from tests.components.building import built

GENERATORS = [
    word
    for word, place in SOURCES.items()
    if "generators" in place and issubclass(load_class(SOURCES, word), Generated)
]


def loaded(spec: str) -> dict[str, Any]:
    return dict(built(spec, "source").load(Path()))


@pytest.mark.parametrize("word", GENERATORS)
def test_the_seed_decides_all_numbers(word: str) -> None:
    one, same, other = (
        loaded(f"{word}: 40"),
        loaded(f"{word}: {{records: 40}}"),
        loaded(f"{word}: {{records: 40, seed: 1}}"),
    )
    assert built(f"{word}: 40", "source").columns() == tuple(one)
    for name, column in one.items():
        np.testing.assert_array_equal(column, same[name])
        assert len(column) == 40
    assert any(not np.array_equal(column, other[name]) for name, column in one.items())


def by_rows(points: Any) -> Any:
    points = np.round(np.asarray(points, np.float64), 5) + 0.0
    return points[np.lexsort(points.T)]


def test_moons_and_circles_are_those_of_scikit_learn() -> None:
    for word, made in (
        ("moons: {records: 51, noise: 0}", datasets.make_moons(51, shuffle=False)),
        ("circles: {records: 50, noise: 0, factor: 0.3}", datasets.make_circles(50, shuffle=False, factor=0.3)),
    ):
        found, (points, labels) = loaded(word), made
        for label in (0, 1):
            ours, theirs = found["point"][found["label"] == label], points[labels == label]
            if len(ours) == len(theirs):  # scikit-learn gives the odd one to the other class
                np.testing.assert_allclose(by_rows(ours), by_rows(theirs), atol=2e-5)


def test_spirals() -> None:
    found = loaded("spirals: {records: 30, spirals: 3, turns: 1.5, noise: 0}")
    radius = np.hypot(*found["point"].T)
    angle = np.arctan2(found["point"][:, 1], found["point"][:, 0])
    wanted = 2 * np.pi * (1.5 * radius + found["label"] / 3)
    np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * wanted), atol=1e-5)
    assert np.bincount(found["label"]).tolist() == [10, 10, 10]
    np.testing.assert_allclose(np.unique(np.round(radius, 5)), np.arange(1, 11) / 10, atol=1e-5)


def test_blobs() -> None:
    found = loaded("blobs: {records: 30000, centers: 3, coordinates: 4, noise: 2}")
    assert found["point"].shape == (30000, 4)
    means = np.stack([found["point"][found["label"] == label].mean(0) for label in range(3)])
    other = loaded("blobs: {records: 30000, centers: 5, coordinates: 4, seed: 9, noise: 0}")
    centers = np.stack([other["point"][other["label"] == label][0] for label in range(3)])
    np.testing.assert_allclose(means, centers, atol=0.1)  # another seed has the same centers
    spread = found["point"] - centers[found["label"]]
    np.testing.assert_allclose(spread.std(0), 2, rtol=0.03)


def test_points_have_classes() -> None:
    made = built("spirals: {spirals: 3}", "source")
    assert made.classes("label") == ("0", "1", "2") and made.classes("point") is None
    assert made.count(Path()) == 1000


def test_sine() -> None:
    found = loaded("sine: {records: 100, periods: [10, 25.5], trend: 0.5, noise: 0}")
    step = np.arange(100)
    wanted = 0.5 * step + np.sin(2 * np.pi * step / 10) + np.sin(2 * np.pi * step / 25.5)
    np.testing.assert_allclose(found["value"], wanted, atol=1e-5)
    assert found["step"].tolist() == step.tolist()
    noisy = loaded("sine: {records: 20000, periods: 10, noise: 0.3}")
    rest = noisy["value"] - np.sin(2 * np.pi * noisy["step"] / 10)
    assert abs(rest.std() - 0.3) < 0.01 and abs(rest.mean()) < 0.01


def test_copy() -> None:
    """As in the paper: 10 symbols of 8, T = 20."""
    found = loaded("copy: {records: 100, length: 10, delay: 20, symbols: 8}")
    given, wanted = found["input"], found["target"]
    assert given.shape == wanted.shape == (100, 40)
    assert ((given[:, :10] >= 0) & (given[:, :10] < 8)).all() and len(np.unique(given[:, :10])) == 8
    assert (given[:, 10:29] == 8).all() and (given[:, 29] == 9).all() and (given[:, 30:] == 8).all()
    assert (wanted[:, :30] == 8).all()
    np.testing.assert_array_equal(wanted[:, 30:], given[:, :10])


@pytest.mark.parametrize("digits", [1, 3, 18])
def test_addition(digits: int) -> None:
    found = loaded(f"addition: {{records: 60, digits: {digits}}}")
    turned = loaded(f"addition: {{records: 60, digits: {digits}, reverse: true}}")
    for text, given, wanted, reverse in zip(
        found["text"], found["input"], found["target"], turned["target"], strict=True
    ):
        assert len(text) == 3 * digits + 3
        left, result = text.split("=")
        first, second = left.split("+")
        assert int(first) + int(second) == int(result)
        assert "".join("0123456789+="[token] for token in given) == f"{left}="
        assert "".join(map(str, wanted)) == result == "".join(map(str, reverse))[::-1]


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("spirals: 0", ()),
        ("spirals: {spirals: 1}", ("spirals",)),
        ("moons: {noise: -1}", ("noise",)),
        ("circles: {factor: 1}", ("factor",)),
        ("sine: {periods: 0}", ("periods",)),
        ("sine: {periods: []}", ("periods",)),
        ("copy: {delay: 0}", ("delay",)),
        ("copy: {records: 1000000, length: 10000}", ("records",)),
        ("blobs: {records: 1000000, coordinates: 10000}", ("records",)),
        ("addition: {digits: 19}", ("digits",)),
        ("blobs: 100000000", ()),
    ],
)
def test_wrong_options(spec: str, place: tuple[str, ...]) -> None:
    made = build_word(parse_yaml(f"item: {{{spec}}}", "example").tree["item"], SOURCES, "source")
    assert isinstance(made, list) and [(error.code, error.loc[1:]) for error in made] == [("DLC104", place)]


def test_other_names_of_options() -> None:
    made = build_word({"moons": {"count": 100}}, SOURCES, "source")
    assert isinstance(made, list) and made[0].code == "DLC101" and "`records`" in (made[0].hint or "")
