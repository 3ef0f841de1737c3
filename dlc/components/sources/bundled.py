"""Real data sets that ship with scikit-learn: nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dlc.components.sources.source import Columns, Source
from dlc.support.lazy import np


class Bundled(Source):
    """Shared by the bundled data sets."""

    loader: ClassVar[str] = ""
    names: ClassVar[tuple[str, ...]] = ()  # the names of the single features, in scikit-learn's order
    target: ClassVar[str] = ""
    target_classes: ClassVar[tuple[str, ...]] = ()
    records: ClassVar[int] = 0

    def count(self, base: Path) -> int | None:
        """The fixed number of records."""
        return self.records

    def columns(self) -> tuple[str, ...] | None:
        """Each feature, all of them as `features`, and the target."""
        return ("features", *self.names, self.target)

    def classes(self, column: str) -> tuple[str, ...] | None:
        """Those of the target."""
        return self.target_classes or None if column == self.target else None

    def load(self, base: Path) -> Columns:
        """Load through `sklearn.datasets`."""
        bunch = self.bunch()
        target: Any = bunch.target
        if "target_names" in bunch and target.dtype.kind == "i":
            target = np.array([str(name) for name in bunch.target_names])[target]
        singles = {name: bunch.data[:, index] for index, name in enumerate(self.names)}
        return {"features": bunch.data, **singles, self.target: target}

    def bunch(self) -> Any:
        """scikit-learn's own container."""
        from sklearn import datasets

        return getattr(datasets, self.loader)()


class Digits(Bundled):
    """1,797 handwritten digits: `image` (8, 8), 0 to 16; `digit`, 0 to 9 (UCI, Alpaydin and Kaynak 1998)."""

    word = "digits"
    records = 1797
    target = "digit"
    target_classes = tuple("0123456789")
    examples = ("digits",)

    def columns(self) -> tuple[str, ...] | None:
        """Image and digit."""
        return ("image", "digit")

    def load(self, base: Path) -> Columns:
        """Load through `sklearn.datasets.load_digits`."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return {"image": bunch.images.astype(np.float32), "digit": bunch.target.astype(np.int32)}


class Iris(Bundled):
    """150 flowers: four lengths in cm, singly or as `features`; `species` (Fisher 1936).

    The species are setosa, versicolor and virginica.
    """

    word = "iris"
    records = 150
    loader = "load_iris"
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    target = "species"
    target_classes = ("setosa", "versicolor", "virginica")
    examples = ("iris",)


class Wine(Bundled):
    """178 wines: 13 chemical measurements, singly or as `features`; `cultivar` (UCI 1991).

    The cultivars are class_0, class_1 and class_2.
    """

    word = "wine"
    records = 178
    loader = "load_wine"
    names = (
        "alcohol",
        "malic_acid",
        "ash",
        "alcalinity_of_ash",
        "magnesium",
        "total_phenols",
        "flavanoids",
        "nonflavanoid_phenols",
        "proanthocyanins",
        "color_intensity",
        "hue",
        "od280_od315",
        "proline",
    )
    target = "cultivar"
    target_classes = ("class_0", "class_1", "class_2")
    examples = ("wine",)


_CELL = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)


class BreastCancer(Bundled):
    """569 tumours: 30 measurements of cells, singly or as `features`; `diagnosis` (Wolberg et al. 1995).

    The diagnosis is malignant or benign.
    """

    word = "breast_cancer"
    records = 569
    loader = "load_breast_cancer"
    names = tuple(f"{part}_{name}" for part in ("mean", "error", "worst") for name in _CELL)
    target = "diagnosis"
    target_classes = ("malignant", "benign")
    examples = ("breast_cancer",)


class Diabetes(Bundled):
    """442 patients: ten measurements in their own units, singly or as `features`; `progression` (Efron et al. 2004).

    The measurements are age, sex, body mass index, blood pressure and six serum values; `progression` measures the
    disease a year later, 25 to 346.
    """

    word = "diabetes"
    records = 442
    names = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    target = "progression"
    examples = ("diabetes",)

    def bunch(self) -> Any:
        """The unscaled data: dlc normalizes by the training split, not by all records."""
        from sklearn.datasets import load_diabetes

        return load_diabetes(scaled=False)
