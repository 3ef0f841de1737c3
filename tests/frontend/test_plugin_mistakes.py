"""Mistakes of a plugin's author: each is a finding with the component, its method and the line, not a bug in dlc."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.components.losses.regression import MeanSquaredError
from dlc.frontend.pipeline import check_file
from dlc.ir.guard import ComponentError
from tests.frontend.test_plugins import plugins  # noqa: F401 - a fixture

NETWORK = "inputs: {x: {tensor: [4]}}\nnetwork: [gain, dense: 2]\n"
TRAINED = (
    "data: iris\ninputs: {features: {tensor: [4]}}\n"
    "targets: {species: {category: [setosa, versicolor, virginica]}}\nnetwork: [dense: 3]\n"
    "loss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1}\n"
)

LAYER = """
from dlc.ir import Layer, Signature


class Gain(Layer):
    '''(*shape) -> (*shape).'''

    word = "gain"

    def infer(self, x):
        return Signature(x.shapes)

    def apply(self, weights, x, *, ctx):
        return x


LAYERS = {"gain": "PLUGIN:Gain"}
"""

LOSS = """
from dlc.components.losses.loss import Loss
from dlc.support.lazy import jnp


class Lab(Loss):
    '''(batch, n) with (batch,).'''

    word = "lab"

    def infer(self, output, target):
        pass

    def elements(self, output, target):
        RETURN


LOSSES = {"lab": "PLUGIN:Lab"}
"""

SOURCE = """
import numpy as np
from dlc.components.sources.source import Source


class Lab(Source):
    '''Records.'''

    word = "lab"

    def load(self, base):
        RETURN


SOURCES = {"lab": "PLUGIN:Lab"}
"""

CALLBACK = """
from dlc.components.callbacks.callback import Callback


class Lab(Callback):
    '''Does something.'''

    word = "lab"
    BODY


CALLBACKS = {"lab": "PLUGIN:Lab"}
"""


def spec(folder: Path, name: str, code: str, text: str) -> Path:
    """A spec with a plugin of its own."""
    (folder / f"{name}.py").write_text(code.replace("PLUGIN", name))
    (folder / "spec.yaml").write_text(f"plugins: [{name}]\n{text}")
    return folder / "spec.yaml"


def line(code: str, text: str) -> int:
    return next(number for number, row in enumerate(code.splitlines(), 1) if text in row)


def test_an_exception_in_infer_is_a_finding_with_its_line(plugins: Path) -> None:  # noqa: F811
    _, report = check_file(spec(plugins, "mistaken_infer", LAYER, NETWORK))
    (item,) = report.diagnostics
    assert item.code == "DLC120" and item.span is not None and item.span.line == 3
    assert item.message.startswith(
        "the layer `gain` of the plugin `mistaken_infer` failed in `infer`: AttributeError: 'TensorType'"
    )
    assert item.found == f"mistaken_infer.py, line {line(LAYER, 'x.shapes')}"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("return output.mean()", "an array of shape (), but it must be a number for each element: (batch, *axes)"),
        ("return output.mean(0)", "an array of shape (3,), but it must be a number for each element"),
        ("return 0.0", "a value of type float, but it must be a number for each element"),
        ("return output.foo", "failed in `elements`: AttributeError"),
        ("return jnp.exp(output) if output.sum() > 0 else output", "failed in `elements`: TracerBoolConversionError"),
    ],
)
def test_a_loss_of_another_shape_is_an_error(plugins: Path, returned: str, message: str) -> None:  # noqa: F811
    """A mean over the batch would be trained on without a sign of it."""
    name, code = f"mistaken_loss_{abs(hash(returned))}", LOSS.replace("RETURN", returned)
    with pytest.raises(dlc.SpecError) as caught:
        dlc.train(dlc.load(spec(plugins, name, code, TRAINED.replace("cross_entropy", "lab"))))
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC120" and message in item.message
    assert item.message.startswith(f"the loss `lab` of the plugin `{name}` ")
    assert item.found in [f"{name}.py, line {line(code, text)}" for text in ("def elements", returned)]


@pytest.mark.parametrize(
    ("returned", "code", "message"),
    [
        ("return {'x': [1, 2]}", "DLC120", "the column `x` is of type list, but it must be a numpy array"),
        ("return [1]", "DLC120", "a value of type list, but it must be a mapping of columns"),
        ("return {'x': np.ones(3), 'y': np.ones(2)}", "DLC120", "different lengths: `x` 3, `y` 2"),
        ("return {}", "DLC120", "no columns"),
        ("return {}['x']", "DLC120", "failed in `load`: KeyError: 'x'"),
        ("return np.load(base / 'none.npy')", "DLC401", "failed in `load`: FileNotFoundError"),
    ],
)
def test_a_source_that_fails_is_an_error_with_its_line(
    plugins: Path,  # noqa: F811
    returned: str,
    code: str,
    message: str,
) -> None:
    name, text = f"mistaken_source_{abs(hash(returned))}", SOURCE.replace("RETURN", returned)
    data = TRAINED.replace("data: iris", "data: lab").replace("features", "x")
    with pytest.raises(dlc.SpecError) as caught:
        dlc.train(dlc.load(spec(plugins, name, text, data)))
    (item,) = caught.value.report.diagnostics
    assert item.code == code and message in item.message, item
    assert item.message.startswith(f"the source `lab` of the plugin `{name}` ")
    assert item.span is not None and item.span.line == 2 and name in str(item.found)


def test_a_path_that_is_not_made_absolute_is_refused(plugins: Path) -> None:  # noqa: F811
    code = SOURCE.replace('    word = "lab"', '    word = "lab"\n    path: str = option(description="file")')
    code = f"from dlc.language.options import option\n{code}".replace("RETURN", "return {}")
    _, report = check_file(spec(plugins, "mistaken_path", code, TRAINED))
    (item,) = report.diagnostics
    assert item.code == "DLC119" and "an option `path`, but no method `rooted`" in item.message
    assert item.hint is not None and "FileSource" in item.hint


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("def on_epoch_end(self, run): pass", "`on_epoch_end` is not a hook", "did you mean `on_end`|`on_epoch`"),
        ("def on_batch(self, run): pass", "its method `on_batch` is not a hook", "on_"),
        ("def helper(self, run): pass", "it defines no hook", "define one of `on_begin`"),
    ],
)
def test_a_callback_without_a_known_hook_is_refused(
    plugins: Path,  # noqa: F811
    body: str,
    message: str,
    hint: str,
) -> None:
    name = f"mistaken_hook_{abs(hash(body))}"
    _, report = check_file(spec(plugins, name, CALLBACK.replace("BODY", body), TRAINED))
    (item,) = report.diagnostics
    assert item.code == "DLC119" and message in item.message
    assert item.hint is not None and re.search(hint, item.hint), item.hint


def test_a_generator_is_guarded(plugins: Path) -> None:  # noqa: F811
    code = """
from dlc.components.rules.rule import Rule


class Lab(Rule):
    '''Finds nothing.'''

    word = "lab"
    code = "LAB001"

    def check(self, spec):
        yield from ()
        raise KeyError("x")


RULES = {"lab": "PLUGIN:Lab"}
"""
    with pytest.raises(dlc.SpecError, match="the rule `lab` of the plugin `mistaken_rule` failed in `check`: KeyError"):
        check_file(spec(plugins, "mistaken_rule", code, TRAINED))


def test_an_error_survives_the_way_between_processes() -> None:
    error = ComponentError(
        "DLC120", "the source `a` of the plugin `b`", "failed in `load`", "KeyError", "b.py, line 3", None
    )
    again: Any = pickle.loads(pickle.dumps(error))
    assert (again.message, again.found, again.code) == (error.message, error.found, "DLC120")
    assert again.report == error.report and again.when("after epoch 1").endswith("`load` after epoch 1: KeyError")


def test_dlc_itself_is_not_guarded() -> None:
    """Its mistakes are bugs, which are reported as such."""
    with pytest.raises(AttributeError):
        MeanSquaredError().elements("no array", np.ones(3))  # type: ignore[arg-type]
