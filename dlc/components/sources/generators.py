"""Data that are computed, for teaching and for trying networks out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, model_validator

from dlc.components.sources.source import Columns, Source
from dlc.language.options import OptionError, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST = 1 << 28  # numbers in a column
_CENTERS = 10.0  # half the side of the cube that the centers of blobs are in


class Generated(Source):
    """Shared by generators: the same options give the same records, another seed gives others of their kind."""

    stream: ClassVar[int] = 0  # keeps the random numbers of generators apart

    records: int = main(1000, ge=1, le=10**7, description="number of records")
    seed: int = option(0, ge=0, lt=2**63, description="decides all random numbers")

    @classmethod
    def advice(cls, key: str) -> str | None:
        """The hint for names that other tools have for `records`."""
        return "dlc calls it `records`" if key in ("count", "n", "size", "n_samples", "samples") else None

    @property
    def width(self) -> int:
        """The most numbers of a record in one column."""
        return 1

    @model_validator(mode="after")
    def _check(self) -> Generated:
        if self.records * self.width > _MOST:
            message = "the records would not fit into memory"
            found = f"{self.records:,} records of {self.width:,} numbers"
            raise reject(
                OptionError(("records",), "DLC104", message, found=found, expected=f"at most {_MOST:,} numbers")
            )
        return self

    def count(self, base: Path) -> int:
        """The option `records`."""
        return self.records

    def random(self) -> np.random.Generator:
        """The random numbers: Philox (Salmon et al. 2011), by the seed and the kind of the generator."""
        return np.random.Generator(np.random.Philox(key=[self.seed, self.stream]))


class Points(Generated):
    """Shared by generators of points with a class each."""

    noise: float = option(0.1, ge=0, description="standard deviation of what is added to each coordinate")

    @property
    def number(self) -> int:
        """The number of classes."""
        return 2

    @property
    def width(self) -> int:
        """Two coordinates."""
        return 2

    def columns(self) -> tuple[str, ...]:
        """The points and their classes."""
        return ("point", "label")

    def classes(self, column: str) -> tuple[str, ...] | None:
        """The numbers of the classes."""
        return tuple(map(str, range(self.number))) if column == "label" else None

    def load(self, base: Path) -> Columns:
        """Compute the points; the classes have equally many, give or take one, and are mixed."""
        random = self.random()
        sizes = [len(range(label, self.records, self.number)) for label in range(self.number)]
        points = np.concatenate([self.of_class(label, size, random) for label, size in enumerate(sizes)])
        points = points + self.noise * random.standard_normal(points.shape)
        order = random.permutation(self.records)
        labels = np.repeat(np.arange(self.number, dtype=np.int32), sizes)
        return {"point": points.astype(np.float32)[order], "label": labels[order]}

    def of_class(self, label: int, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """The points of a class without noise: (count, 2)."""
        raise NotImplementedError


class Spirals(Points):
    """Points of spirals that wind around each other: `point` (2), and `label`, the number of the spiral."""

    word = "spirals"
    stream = 1
    noise: float = option(0.03, ge=0, description="standard deviation of what is added to each coordinate")
    spirals: int = option(2, ge=2, le=100, description="number of spirals")
    turns: float = option(1.0, gt=0, le=100, description="how often each spiral winds around the center")
    examples = ("spirals", "spirals: {records: 300, spirals: 3, turns: 1.5, noise: 0.02, seed: 1}")

    @property
    def number(self) -> int:
        """The number of spirals."""
        return self.spirals

    def of_class(self, label: int, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Radius and angle grow together, up to radius 1."""
        radius = (np.arange(count) + 1) / max(1, count)
        angle = 2 * np.pi * (self.turns * radius + label / self.spirals)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


class Moons(Points):
    """Points of two half circles that interleave: `point` (2), and `label`, 0 or 1 (as scikit-learn's `make_moons`)."""

    word = "moons"
    stream = 2
    examples = ("moons", "moons: {records: 200, noise: 0.05, seed: 1}")

    def of_class(self, label: int, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """The upper half circle, or the lower one, which is moved to the right and up."""
        angle = np.linspace(0, np.pi, count)
        x, y = np.cos(angle), np.sin(angle)
        return np.stack([x, y] if label == 0 else [1 - x, 0.5 - y], axis=1)


class Circles(Points):
    """Points of a circle inside another: `point` (2), and `label`, 1 inside (as scikit-learn's `make_circles`)."""

    word = "circles"
    stream = 3
    factor: float = option(0.5, gt=0, lt=1, description="radius of the inner circle; that of the outer one is 1")
    examples = ("circles", "circles: {records: 200, noise: 0.05, factor: 0.3}")

    def of_class(self, label: int, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Points at equal distances."""
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) * (self.factor if label else 1)


class Blobs(Points):
    """Points around centers: `point`, and `label`, the number of the center.

    The centers are in a cube from -10 to 10, and depend only on their number and on that of the coordinates.
    """

    word = "blobs"
    stream = 4
    noise: float = option(1.0, ge=0, description="standard deviation of each coordinate around the center")
    centers: int = option(3, ge=2, le=10_000, description="number of centers")
    coordinates: int = option(2, ge=1, le=10_000, description="number of coordinates")
    examples = ("blobs", "blobs: {records: 150, centers: 4, coordinates: 5, noise: 2, seed: 1}")

    @property
    def number(self) -> int:
        """The number of centers."""
        return self.centers

    @property
    def width(self) -> int:
        """The number of coordinates."""
        return self.coordinates

    def of_class(self, label: int, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """The center."""
        places = np.random.Generator(np.random.Philox(key=[self.stream, self.coordinates], counter=[0, 0, 0, label]))
        return np.tile(places.uniform(-_CENTERS, _CENTERS, self.coordinates), (count, 1))


def _numbers(value: Any) -> Any:
    listed = value if isinstance(value, (list, tuple)) else [value]
    numbers = [item for item in listed if isinstance(item, (int, float)) and not isinstance(item, bool) and item > 0]
    if 0 < len(numbers) == len(listed) <= 1000:
        return tuple(map(float, numbers))
    expected = "a number above 0, or a list of such numbers"
    raise reject(OptionError((), "DLC104", "not valid periods", found=spell(value), expected=expected))


class Sine(Generated):
    """A series, one time step a record: `value` is a sum of sines and noise, `step` counts from 0."""

    word = "sine"
    stream = 5
    periods: Annotated[tuple[float, ...], BeforeValidator(_numbers)] = option(
        (24.0, 168.0), description="steps of one oscillation of each sine"
    )
    trend: float = option(0.0, description="what is added with each step")
    noise: float = option(0.1, ge=0, description="standard deviation of what is added to each value")
    examples = ("sine", "sine: {records: 500, periods: [12, 50.5], trend: 0.01, noise: 0, seed: 1}")

    def columns(self) -> tuple[str, ...]:
        """The number of the step, and the value."""
        return ("step", "value")

    def load(self, base: Path) -> Columns:
        """Compute the series."""
        step = np.arange(self.records)
        value = self.trend * step + sum(np.sin(2 * np.pi * step / period) for period in self.periods)
        value = value + self.noise * self.random().standard_normal(self.records)
        return {"step": step, "value": value.astype(np.float32)}


class Copy(Generated):
    """The copying memory task: `input` and `target`, sequences of `delay + 2 * length` tokens.

    The input is `length` symbols, blanks, and after `delay` steps a mark, from which on the target is the symbols.
    Before it, and in the input after it, there are blanks. Symbols are numbered from 0; then follow the blank and the
    mark (Arjovsky, Shah and Bengio 2016, section 5.1; Hochreiter and Schmidhuber 1997).
    """

    word = "copy"
    stream = 6
    length: int = option(10, ge=1, le=10_000, description="number of symbols")
    delay: int = option(10, ge=1, le=100_000, description="steps from the last symbol to the mark")
    symbols: int = option(8, ge=1, le=10**6, description="number of different symbols; the vocabulary has two more")
    examples = ("copy", "copy: {records: 50, length: 3, delay: 5, symbols: 4, seed: 1}")

    @property
    def width(self) -> int:
        """The length of a sequence."""
        return self.delay + 2 * self.length

    def columns(self) -> tuple[str, ...]:
        """Two sequences of one length."""
        return ("input", "target")

    def load(self, base: Path) -> Columns:
        """Draw the symbols."""
        drawn = self.random().integers(0, self.symbols, (self.records, self.length), np.int32)
        given = np.full((self.records, self.width), self.symbols, np.int32)
        wanted = given.copy()
        given[:, : self.length] = drawn
        given[:, self.length + self.delay - 1] = self.symbols + 1
        wanted[:, -self.length :] = drawn
        return {"input": given, "target": wanted}


class Addition(Generated):
    """Sums of two numbers, digit by digit: `input` (the digits of `a+b=`), `target` (those of the sum), and `text`.

    The digits are the tokens 0 to 9, `+` is 10 and `=` is 11. Numbers have leading zeros, so that all inputs have
    `2 * digits + 2` tokens and all targets `digits + 1`. `text` is the whole, as in ``12+07=019``.
    """

    word = "addition"
    stream = 7
    digits: int = option(3, ge=1, le=18, description="digits of each number")
    reverse: bool = option(False, description="whether the sum begins with its last digit")
    examples = ("addition", "addition: {records: 50, digits: 2, reverse: true, seed: 1}")

    @property
    def width(self) -> int:
        """The length of the input."""
        return 2 * self.digits + 2

    def columns(self) -> tuple[str, ...]:
        """The tokens, and the same as text."""
        return ("input", "target", "text")

    def load(self, base: Path) -> Columns:
        """Draw the numbers."""
        pairs = self.random().integers(0, 10**self.digits, (2, self.records))
        first, second = (_digits(numbers, self.digits) for numbers in pairs)
        result = _digits(pairs.sum(0), self.digits + 1)
        result = result[:, ::-1] if self.reverse else result
        marks = np.full((self.records, 1), 10, np.int32)
        given = np.concatenate([first, marks, second, marks + 1], axis=1)
        text = np.empty(self.records, object)
        text[:] = ["".join("0123456789+="[token] for token in row) for row in np.hstack([given, result]).tolist()]
        return {"input": given, "target": np.ascontiguousarray(result), "text": text}


def _digits(numbers: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """The decimal digits of numbers: (n, count)."""
    powers = 10 ** np.arange(count - 1, -1, -1, dtype=np.int64)
    return (numbers[:, None] // powers % 10).astype(np.int32)
