"""`dlc show`: which options can be used together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dlc
from dlc.cli.show import ShowOptions, check_options, print_layers, print_memory, read_sizes
from dlc.frontend.passes.sizes import Sizes, least_sizes, sizes_of
from tests.cli.test_commands import dlc_command  # noqa: F401

EVERYTHING = ShowOptions(
    expanded=True, emit="hlo", step=True, platform="cuda", lowering=True, memory=True, compiled=True
)


def options(*given: str) -> ShowOptions:
    values = {"emit": "stablehlo", "platform": "cuda"}
    return ShowOptions(**{name: values.get(name, True) for name in given})  # type: ignore[arg-type]


def test_options_are_named_as_they_are_written() -> None:
    assert ShowOptions().given == []
    assert EVERYTHING.given == [
        "--expanded",
        "--emit",
        "--step",
        "--platform",
        "--lowering",
        "--memory",
        "--compiled",
    ]


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("expanded",),
        ("lowering",),
        ("memory",),
        ("memory", "compiled"),
        ("emit",),
        ("emit", "step"),
        ("emit", "step", "platform"),
    ],
)
def test_options_that_fit(given: tuple[str, ...]) -> None:
    check_options(options(*given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("lowering", "compiled"), "`--compiled` can't be used with `--lowering`"),
        (("memory", "step"), "`--step` can't be used with `--memory`"),
        (("memory", "platform"), "`--platform` can't be used with `--memory`"),
        (("emit", "expanded"), "`--expanded` can't be used with `--emit`"),
        (("expanded", "step"), "`--step` has no effect without `--emit`"),
        (("platform",), "`--platform` has no effect without `--emit stablehlo`"),
        (("compiled",), "`--compiled` has no effect without `--memory`"),
    ],
)
def test_options_that_do_not_fit(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(dlc.SpecError, match=f"DLC510: {message}"):
        check_options(options(*given))


def test_unknown_programs_and_platforms() -> None:
    with pytest.raises(dlc.SpecError, match="unknown program `hol`"):
        check_options(ShowOptions(emit="hol"))
    with pytest.raises(dlc.SpecError, match="unknown platform `cdua`"):
        check_options(ShowOptions(emit="stablehlo", platform="cdua"))


SERIES = "inputs: {x: {tensor: [time, 8]}}\nnetwork: [NETWORK]\n"


def series(network: str) -> dlc.Spec:
    return dlc.loads(SERIES.replace("NETWORK", network))


def test_symbolic_sizes_are_counted_as_the_given_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    spec = series("dense: 16")
    table = dlc.show(spec, sizes={"time": 100})
    assert table.flops == 100 * (2 * 8 * 16 + 16) and table.activation_bytes == 100 * 16 * 4
    assert str(table.rows[0].output) == "f32[batch, 100, 16]" and table.sizes == Sizes({"time": 100})
    print_layers(table)
    printed = capsys.readouterr().out
    assert "one example with time = 100, forward: 27.20 kFLOPs" in printed and "assumed" not in printed


def test_sizes_are_given_to_the_command(dlc_command: Any, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "series.yaml"
    path.write_text(SERIES.replace("NETWORK", "dense: 16"))
    code, printed, _ = dlc_command("show", str(path), "--size", "time=100")
    assert code == 0 and "one example with time = 100, forward: 27.20 kFLOPs" in printed and "assumed" not in printed
    code, _, err = dlc_command("show", str(path), "--size", "tine=100")
    assert code == 2 and "the spec has no symbolic size `tine`" in err


def test_assumed_sizes_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    table = dlc.show(series("dense: 16"))
    assert table.flops == 128 * (2 * 8 * 16 + 16)
    assert str(table.rows[0].output) == "f32[batch, time, 16]"
    print_layers(table)
    printed = capsys.readouterr().out
    assert "one example with time = 128" in printed
    assert "the spec doesn't fix `time`: 128 is assumed; use `--size time=NUMBER` for another" in printed
    print_layers(dlc.show(dlc.loads("inputs: {x: {tensor: [8]}}\nnetwork: [dense: 2]\n")))
    printed = capsys.readouterr().out
    assert "one example, forward: 34 FLOPs" in printed and "assumed" not in printed


def test_quadratic_costs_are_counted_with_the_size() -> None:
    spec = series("attention: {heads: 2}")
    short, long = (dlc.show(spec, sizes={"time": size}).flops for size in (50, 100))
    assert 2 * short < long < 4 * short


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ("{conv1d: {filters: 4, kernel: 150, padding: valid}}", 150),
        ("{learned_positions: 44}", 40),
        ("{conv1d: {filters: 4, kernel: 100, padding: valid}}, {learned_positions: 20}", 112),
    ],
)
def test_the_assumed_size_is_one_that_the_network_accepts(network: str, size: int) -> None:
    assert sizes_of(series(network).plan).numbers == {"time": size}


def test_iterations_that_differ_are_counted_as_they_are_trained() -> None:
    text = SERIES.replace("NETWORK", "{repeat: {times: 3, layers: [dense: 8]}, name: body}") + (
        "targets: {y: {tensor: [time, 8]}}\nloss: mse\noptimizer: {sgd: 0.1, freeze: body/0/**}\n"
    )
    table = dlc.show(dlc.loads(text), sizes={"time": 10})
    assert (table.params, table.frozen) == (144, 72)
    assert table.flops == 3 * 10 * (2 * 8 * 8 + 8)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"tine": 3}, "the spec has no symbolic size `tine`"),
        ({"batch": 3}, "the spec has no symbolic size `batch`"),
        ({"time": 0}, "the size `time` can't be 0"),
        ({"time": 2}, "the window of `conv1d` is larger than what it slides over, for time = 2"),
    ],
)
def test_sizes_that_do_not_fit(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(dlc.SpecError, match=message) as caught:
        dlc.show(series("{conv1d: {filters: 4, kernel: 5, padding: valid}}"), sizes=sizes)
    hints = {"tine": "did you mean `time`?", "batch": "for the batch size use `--set train.batch_size=N`"}
    for name in set(sizes) & set(hints):
        assert caught.value.report.diagnostics[0].hint == hints[name]


@pytest.mark.parametrize("text", ["time", "time=", "=3", "time=x", "time=-1", "time=0", "time=1.5", "time=9999999999"])
def test_what_is_not_a_size(text: str) -> None:
    assert read_sizes(["time=100", "width = 28", "time=7"]) == {"time": 7, "width": 28}
    with pytest.raises(dlc.SpecError, match=f"DLC510: `--size {text}` is not a size"):
        read_sizes([text])


def test_least_sizes_beside_given_ones() -> None:
    spec = dlc.loads(
        "inputs: {x: {tensor: [height, width, 1]}}\n"
        "network: [{conv2d: {filters: 2, kernel: [3, 5], padding: valid}}, global_avg_pool2d]\n"
    )
    assert least_sizes(spec.plan) == {"height": 3, "width": 5}
    assert least_sizes(spec.plan, {"height": 9}) == {"height": 9, "width": 5}


def test_memory_is_that_of_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    from dlc.backend.memory import predicted

    text = (
        "data: {source: {npz: x.npz}}\n"
        + SERIES.replace("NETWORK", "dense: 8")
        + "targets: {y: {tensor: [time, 8]}}\nloss: mse\noptimizer: sgd\n"
    )
    plan = dlc.loads(text).plan
    small, large = (predicted(plan, {"time": size}) for size in (10, 1000))
    assert large.weights == small.weights
    assert large.records - small.records == 990 * 2 * 8 * 4 * plan.train.batch_size
    print_memory(dlc.loads(text), False, sizes_of(plan))
    printed = capsys.readouterr().out
    assert "a training step of 32 examples with time = 128" in printed and "128 is assumed" in printed
