"""Ranges of values: declared or found in the training split, and asked by augmentations, metrics and losses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

import dlc
from dlc.backend.augment import augmenter
from dlc.components.losses import LOSSES
from dlc.components.losses.loss import Loss
from dlc.components.metrics.images import Psnr
from dlc.components.value_ranges import ValueRange
from dlc.data.dataset import Dataset, load_dataset
from dlc.data.ranges import awaits_ranges, with_ranges
from dlc.frontend.pipeline import check_text
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation, load_class
from dlc.training.run_folder import RunFolder

PICTURES = """
data: {source: digits, split: {validation: 0.2}}
inputs: {image: {tensor: {shape: [8, 8, 1], FEATURE}}}
network: [flatten, dense: 8, dense: 64, reshape: [8, 8, 1]]
loss: {mse: , target: image}
metrics: [METRICS]
augment: [AUGMENT]
optimizer: {adam: 0.01}
train: {epochs: 1, batch_size: 64}
"""
OPTIONS = ["", "scale: 16", "normalize: minmax", "normalize: standard", "scale: 8, value_range: [0, 16]"]


def text_of(feature: str, augment: str = "random_brightness: 0.9", metrics: str = "{psnr: , target: image}") -> str:
    text = PICTURES.replace(", FEATURE", f", {feature}" if feature else "").replace("METRICS", metrics)
    return text.replace("AUGMENT", augment)


def ready(text: str) -> tuple[Plan, Dataset]:
    plan = dlc.loads(text).plan
    data = load_dataset(plan)
    return with_ranges(plan, data.fitted.ranges, data.fitted.stats), data


@pytest.mark.parametrize("word", ["random_brightness: 0.9", "random_contrast: 0.5", "random_invert: 1"])
def test_colors_change_in_the_pictures_own_range(word: str) -> None:
    """Scaled, normalized or as they are, the same pictures become the same pictures, in their own unit."""
    wanted = None
    for options in OPTIONS:
        plan, data = ready(text_of(options, word))
        rows = data.splits["train"][:32]
        batch = {"inputs": {"image": data.inputs["image"][rows]}, "targets": {}}
        changed = np.asarray(augmenter(plan)(jax.random.key(0), batch)[0]["inputs"]["image"])
        pictures = plan.inputs["image"].decode(changed.astype(np.float64), data.fitted.stats["image"])
        assert pictures.min() >= -1e-5 and pictures.max() <= 16 + 1e-5
        wanted = pictures if wanted is None else wanted
        np.testing.assert_allclose(pictures, wanted, atol=2e-5, err_msg=options)
    assert wanted is not None
    shares = np.isclose(wanted, 16, atol=1e-3).mean(), np.isclose(wanted, 0, atol=1e-3).mean()
    assert max(shares) < 0.6, "clipped to black and white"


def test_a_range_is_that_of_real_values_and_of_filled_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding has no part in it; the median, which stands for a missing value, is a value of the data."""
    steps = np.array([[[1.0, 2], [3, np.nan], [-9, -9]], [[4, 5], [-9, -9], [-9, -9]]])
    np.savez(tmp_path / "x.npz", x=steps)
    text = (
        f"data: {{source: {{npz: {tmp_path / 'x.npz'}}}}}\n"
        "inputs: {x: {tensor: {shape: [3, 2], padding: -9, missing: FILL}}}\nnetwork: [{dense: 2}]\n"
        "loss: {mse: , target: x}\noptimizer: adam\ntrain: {epochs: 1, batch_size: 2}\n"
    )
    for module in ("dataset", "ranges"):  # no component takes images with padding
        monkeypatch.setattr(f"dlc.data.{module}.ranged_features", lambda plan: {"x": ("inputs", plan.inputs["x"])})
    data = load_dataset(dlc.loads(text.replace("FILL", "median")).plan)
    assert data.fitted.ranges == {"x": (1, 5)}
    np.testing.assert_array_equal(data.inputs["x"], [[[1, 2], [3, 3.5], [0, 0]], [[4, 5], [0, 0], [0, 0]]])
    assert load_dataset(dlc.loads(text.replace("FILL", "-9")).plan).fitted.ranges == {"x": (-9, 5)}
    assert data.notes == ()


def test_colors_do_not_change_indicators_of_missing_values() -> None:
    text = text_of("missing: mean, missing_indicator: true").replace(
        "dense: 64, reshape: [8, 8, 1]", "dense: 128, reshape: [8, 8, 2]"
    )
    assert check_text(text)[1].codes == ("DLC313",)
    assert check_text(text.replace("random_brightness: 0.9", "random_flip: horizontal"))[1].codes == ()


@pytest.mark.parametrize("options", OPTIONS)
def test_psnr_follows_the_range_of_the_target(options: str) -> None:
    plan, data = ready(text_of(options))
    metric = plan.metrics[0].metric
    assert isinstance(metric, Psnr) and metric.max_value == 16
    assert data.fitted.ranges == {"image": (0, 16)} and not awaits_ranges(plan)


def test_a_run_keeps_its_ranges(tmp_path: Path) -> None:
    """The peak of the training split, in `eval` as well; the value is that of the formula on predictions."""
    run = tmp_path / "run"
    result = dlc.train(
        dlc.loads(text_of("", metrics="{psnr: , target: image}, {ssim: {window: 7}, target: image}")), run
    )
    kept = json.loads((run / "features.json").read_text())
    assert kept["ranges"] == {"image": [0.0, 16.0]}
    evaluation = dlc.evaluate(run).metrics
    assert result.history[-1]["validation/psnr"] == pytest.approx(evaluation["psnr"], rel=1e-5)
    pictures = load_digits().images[:20].astype(np.float32)
    dark = pictures / 2  # another peak than that of the training split
    np.savez(tmp_path / "dark.npz", image=dark)
    found = dlc.predict(run, {"image": dark})["image"].reshape(20, -1).astype(np.float64)
    errors = np.square(found - dark.reshape(20, -1)).mean(1)
    wanted = np.mean([10 * math.log10(16**2 / error) for error in errors])
    assert dlc.evaluate(run, data=tmp_path / "dark.npz").metrics["psnr"] == pytest.approx(wanted, rel=1e-5)
    (run / "features.json").write_text(json.dumps({**kept, "ranges": {"image": [0.0, 1.0]}}))
    with pytest.raises(dlc.SpecError, match="DLC503"):
        RunFolder(run).load_fitted(dlc.loads(text_of("")).plan)


@pytest.mark.parametrize(
    ("options", "augment", "metrics", "message"),
    [
        ("", "random_invert: {value_range: [0, 1]}", "mse: {}, target: image", "range from 0 to 16"),
        ("", "random_invert: {value_range: [0, 255]}", "mse: {}, target: image", "range only from 0 to 16"),
        ("scale: 255", "random_invert", "mse: {}, target: image", "`scale` implies 0 to 255"),
        ("scale: 4", "jitter: 0.1", "psnr: {}, target: image", "`scale` implies 0 to 4"),
        ("", "jitter: 0.1", "psnr: 1, target: image", "`psnr` expects values from 0 to 1"),
        ("normalize: standard", "jitter: 0.1", "ssim: {max_value: 255, window: 7}, target: image", "`ssim` expects"),
        ("value_range: [0, 15]", "jitter: 0.1", "mse: {}, target: image", "outside of its range"),
    ],
)
def test_other_values_than_a_range_are_found_when_they_are_read(
    options: str, augment: str, metrics: str, message: str
) -> None:
    with pytest.raises(dlc.SpecError) as error:
        ready(text_of(options, augment, f"{{{metrics}}}"))
    (item,) = error.value.report.diagnostics
    assert item.code in ("DLC313", "DLC403") and message in item.message and item.span is not None


def test_a_constant_has_no_range(tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", image=np.full((20, 8, 8, 1), 3.0))
    text = text_of("").replace("source: digits", f"source: {{npz: {tmp_path / 'flat.npz'}}}")
    with pytest.raises(dlc.SpecError, match=r"DLC313.*all its values are equal"):
        ready(text)
    plan, _ = ready(
        text.replace("8, 1],", "8, 1], value_range: [0, 4]").replace("8, 1]}}", "8, 1], value_range: [0, 4]}}")
    )
    assert plan.augment[0].ranges == {"image": (0.0, 4.0)}


def test_a_channel_that_is_normalized_by_itself_keeps_its_color(tmp_path: Path) -> None:
    """`random_invert` of three channels with statistics of their own: 255 - x in the user's unit."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)) // [1, 2, 4]
    pixels[0, 0, 0], pixels[0, 0, 1] = 255, 0
    np.savez(tmp_path / "rgb.npz", image=pixels.astype(np.uint8))
    text = (
        text_of("normalize: standard", "random_invert: 1")
        .replace("8, 1]", "8, 3]")
        .replace("64", "192")
        .replace("digits, split: {validation: 0.2}", f"{{npz: {tmp_path / 'rgb.npz'}}}")
    )
    plan, data = ready(text)
    assert data.fitted.ranges == {"image": (0, 255)}
    batch = {"inputs": dict(data.inputs), "targets": {}}
    changed = augmenter(plan)(jax.random.key(0), batch)[0]["inputs"]["image"]
    back = plan.inputs["image"].decode(np.asarray(changed, np.float64), data.fitted.stats["image"])
    np.testing.assert_allclose(back, 255 - pixels, atol=1e-3)


# ---- losses ----

DEFINED = {name: load_class(LOSSES, name).domain for name in LOSSES}  # type: ignore[attr-defined]
OUTPUTS = {"contrastive": 1, "binary_cross_entropy": 1, "binary_focal": 1}
FEATURES = {"normalize: standard": ValueRange(-math.inf, math.inf), "value_range: [-3, 3]": ValueRange(-3, 3),
            "value_range: [0, 255]": ValueRange(0, 255), "normalize: minmax": ValueRange(0, 1), "": None}  # fmt: skip


@pytest.mark.parametrize("word", [name for name, domain in DEFINED.items() if domain is not None])
def test_a_loss_refuses_targets_that_can_not_fit_before_data_are_read(word: str) -> None:
    """At check time where normalization or the declared range says so, and with the values themselves otherwise."""
    domain = DEFINED[word]
    assert domain is not None
    size = OUTPUTS.get(word, 2)
    for options, held in FEATURES.items():
        shape = f"{{shape: [{size}]{', ' if options else ''}{options}}}"
        text = f"inputs: {{x: {{tensor: [4]}}}}\ntargets: {{y: {{tensor: {shape}}}}}\nnetwork: [dense: {size}]\n"
        _, report = check_text(f"{text}loss: {word}\n")
        fits = held is None or domain.holds(held)
        assert report.codes == (() if fits else ("DLC313",)), (options, report.codes)
    made: Any = load_class(LOSSES, word)()
    assert isinstance(made, Loss)
    bad = domain.low - 1 if math.isfinite(domain.low) else 0.0
    with pytest.raises(RuleViolation) as error:
        made.check_values(np.full((3, size), bad, np.float32))
    assert error.value.code == "DLC403" and error.value.expected


def test_targets_that_are_inputs_are_asked_as_well() -> None:
    text = "inputs: {x: {tensor: {shape: [4], normalize: standard}}}\nnetwork: [dense: 4]\nloss: {L: , target: x}\n"
    assert check_text(text.replace("L", "binary_cross_entropy"))[1].codes == ("DLC313",)
    assert check_text(text.replace("L", "mse"))[1].codes == ()


def test_an_output_that_is_a_target_has_no_range() -> None:
    text = (
        "inputs: {a: {tensor: [8, 8, 1]}, b: {tensor: [8, 8, 1]}}\ntargets: {y: {tensor: [8, 8, 1]}}\n"
        "network: [{scale: , inputs: a, name: p}, {scale: , inputs: b, name: q, trainable: false}]\n"
        "outputs: {p: p, q: q}\nloss: {mse: , output: p, target: y}\nmetrics: [{psnr: M, output: q, target: p}]\n"
    )
    assert check_text(text.replace("M", ""))[1].codes == ("DLC313",)
    assert check_text(text.replace("M", "1"))[1].codes == ()
