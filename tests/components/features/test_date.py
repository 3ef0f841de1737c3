"""Dates: parts of the calendar, compared with Python's datetime and published formulas."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from dlc.components.features.feature import encoded_on_host, fitted
from dlc.components.wrong_values import WrongValues
from tests.common import codes
from tests.components.building import feature

TIMES = [datetime(1970, 1, 1) + timedelta(hours=4567 * step, minutes=13 * step) for step in range(60)]
ALL = "[year, month, day, weekday, dayofyear, hour, minute, second]"


def parts_of(spec: str, values: Any) -> Any:
    column = np.array(values, dtype=object) if isinstance(values, list) else values
    return feature(spec).read([column], "x")


@pytest.mark.parametrize("form", ["iso", "short", "format", "seconds", "milliseconds", "numpy", "objects"])
def test_all_spellings_have_the_same_parts(form: str) -> None:
    epoch = np.array([(time - datetime(1970, 1, 1)).total_seconds() for time in TIMES])
    spec, values = {
        "iso": (f"date: {ALL}", [time.isoformat() for time in TIMES]),
        "short": (f"date: {ALL}", [time.strftime(" %Y-%m-%d %H:%M ") for time in TIMES]),
        "format": (
            f"date: {{parts: {ALL}, format: '%d.%m.%y, %I:%M %p'}}",
            [time.strftime("%d.%m.%y, %I:%M %p") for time in TIMES],
        ),
        "seconds": (f"date: {ALL}", epoch),
        "milliseconds": (f"date: {{parts: {ALL}, unit: ms}}", [f"{int(value) * 1000}" for value in epoch]),
        "numpy": (f"date: {ALL}", np.array(TIMES, "datetime64[s]")),
        "objects": (f"date: {ALL}", TIMES),
    }[form]
    wanted = [
        (time.year, time.month, time.day, time.weekday(), time.timetuple().tm_yday, time.hour, time.minute, 0)
        for time in TIMES
    ]
    np.testing.assert_array_equal(parts_of(spec, values), wanted)


def test_other_forms_of_dates() -> None:
    spec = "date: [year, month, day, hour]"
    values = ["1949-02", "1949", "20240531", "2024-05-31T22:30:00Z", "2024-05-31T22:30:00.5+02:00", date(2024, 2, 29)]
    wanted = [
        (1949, 2, 1, 0),
        (1949, 1, 1, 0),
        (2024, 5, 31, 0),
        (2024, 5, 31, 22),
        (2024, 5, 31, 22),
        (2024, 2, 29, 0),
    ]
    np.testing.assert_array_equal(parts_of(spec, values), wanted)


def test_parts_are_points_on_circles() -> None:
    spec = "date: [month, year, weekday, hour]"
    raw = parts_of(spec, TIMES)
    value = encoded_on_host(feature(spec), "x", raw, fitted(feature(spec), "x", raw))["x"]
    years = np.array([time.year for time in TIMES])
    angles = {
        0: [2 * np.pi * (time.month - 1) / 12 for time in TIMES],
        3: [2 * np.pi * time.weekday() / 7 for time in TIMES],
        5: [2 * np.pi * time.hour / 24 for time in TIMES],
    }
    np.testing.assert_allclose(value[:, 2], (years - years.mean()) / years.std(), rtol=1e-6)
    for at, angle in angles.items():
        np.testing.assert_allclose(value[:, at : at + 2], np.stack([np.sin(angle), np.cos(angle)], 1), atol=1e-7)


def test_numbers_are_those_of_gluonts() -> None:
    """`gluonts.time_feature`: (hour / 23 - 0.5), (weekday / 6 - 0.5), ((day - 1) / 30 - 0.5), ..."""
    spec = "date: {parts: [minute, hour, weekday, day, dayofyear, month], cyclic: false}"
    raw = parts_of(spec, TIMES)
    wanted = [
        (
            time.minute / 59,
            time.hour / 23,
            time.weekday() / 6,
            (time.day - 1) / 30,
            (time.timetuple().tm_yday - 1) / 365,
            (time.month - 1) / 11,
        )
        for time in TIMES
    ]
    np.testing.assert_allclose(encoded_on_host(feature(spec), "x", raw, {})["x"], np.array(wanted) - 0.5, atol=1e-7)


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        (["2024-05-31", "31/12/2024"], "row 2 of column `x` is not a date", "set `format` to `%d/%m/%Y`"),
        (["12/31/2024 10:00"], "is not a date", "set `format` to `%m/%d/%Y %H:%M`"),
        (["1.2.2024"], "is not a date", "set `format` to `%d.%m.%Y` or `%m.%d.%Y`"),
        (["1714564800"], "is not a date", "if these are seconds since 1970, set `unit: s`; milliseconds are `ms`"),
        (["31 May 2024"], "is not a date", "set `format`, for example `%d %B %Y` for `31 May 2024`"),
        (["2024-05-31", ""], "row 2 of column `x` has no date", "set `missing`"),
        ([None], "row 1 of column `x` has no date", "set `missing`"),
        (["2023-02-29"], "is not a date", None),
    ],
)
def test_what_is_no_date_is_named_with_its_row(values: list[Any], message: str, hint: str | None) -> None:
    with pytest.raises(WrongValues) as caught:
        parts_of("date", values)
    assert caught.value.code == "DLC403" and message in caught.value.message
    assert hint is None or hint in str(caught.value.hint)


def test_missing_dates_have_the_typical_parts_and_one_indicator() -> None:
    made = feature("date: {parts: [year, month], missing: median, missing_indicator: true}")
    column = np.array(["2020-01-05", "2020-03-01", "", "2023-11-11"], dtype=object)
    raw = made.read([column], "x")
    value = encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"]
    np.testing.assert_array_equal(value[:, -1], [0, 0, 1, 0])
    np.testing.assert_allclose(value[2, :3], value[1, :3], atol=1e-7)  # the medians are 2020 and March


def test_a_date_is_no_target() -> None:
    spec = "inputs: {x: date}\ntargets: {y: FEATURE}\nnetwork: [dense: 1]\nloss: mse\n"
    for word in ("{date: [year]}", "binary", "{table: {numbers: [a], missing: null}}"):
        assert codes(spec.replace("FEATURE", word)) == ("DLC104",)


def test_years_and_dates_as_numbers_mean_what_their_digits_do() -> None:
    made = feature("date: [year, month]")
    np.testing.assert_array_equal(made.read([np.array([2024, 20240531])], "x"), [[2024, 1], [2024, 5]])
    assert feature("date: {parts: [year], unit: s}").read([np.array([2024])], "x").tolist() == [[1970]]


def test_what_is_no_date_at_all_is_an_error_with_its_row() -> None:
    column = np.empty(2, object)
    column[:] = ["2024-01-01", [1, 2]]
    with pytest.raises(WrongValues, match="row 2"):
        feature("date: [year]").read([column], "x")


def test_a_format_may_have_a_zone() -> None:
    made = feature("date: {parts: [year], format: '%Y-%m-%dT%H:%M:%S%z'}")
    assert made.read([np.array(["2024-05-31T10:00:00+0200"], object)], "x").tolist() == [[2024]]
