"""Plugins: the steps of CONTRIBUTING, what is refused, and what is wrong with a plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.components.layers import LAYERS
from dlc.components.registry import KINDS
from dlc.frontend.pipeline import check_file
from dlc.frontend.plugins import config_file
from tests.common import ROOT

HEAD = "from dlc.ir import Layer\nfrom dlc.language.options import option\n"
SPEC = "plugins: [{name}]\ninputs: {{x: {{tensor: [4]}}}}\nnetwork: [gain, dense: 2]\n"


def documented() -> str:
    """The layer that CONTRIBUTING adds, with its table."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class Gain(Layer)" in block)


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-c", "from dlc.cli import main; main()", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "config"), **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder for plugins, which are allowed; none stays loaded."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    before = set(sys.modules)
    dlc.allow_plugins()
    yield tmp_path
    dlc.allow_plugins(False)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_the_steps_of_contributing(tmp_path: Path) -> None:
    """A class and a line: the checker knows the word, its page is printed, a network with it is counted."""
    (tmp_path / "gain.py").write_text(documented())
    (tmp_path / "spec.yaml").write_text(SPEC.format(name="gain"))
    refused = run(tmp_path, "check", "spec.yaml")
    assert refused.returncode == 1 and "error[DLC118]" in refused.stderr + refused.stdout
    assert run(tmp_path, "check", "--allow-plugins", "spec.yaml").returncode == 0
    page = run(tmp_path, "layers", "gain", "--plugin", "gain")
    assert page.returncode == 0, page.stderr
    assert "(*lead, channels) -> (*lead, channels): each channel times a learned number." in page.stdout
    assert re.search(r"use_bias +true or false +false +also add a learned number", page.stdout)
    shown = run(tmp_path, "show", "--allow-plugins", "spec.yaml")
    assert "14" in shown.stdout, shown.stderr  # 4 + (4 * 2 + 2)


def test_its_examples_pass_the_battery(plugins: Path) -> None:
    from dlc.diagnostics import Problems
    from dlc.frontend.plugins import active, load_plugin
    from tests.components.battery import check_component

    (plugins / "gain.py").write_text(documented())
    plugin = load_plugin("gain", plugins, None, Problems())
    assert plugin is not None
    with active([plugin]):
        check_component(KINDS["layer"], "gain")
    assert "gain" not in LAYERS


def test_a_run_remembers_its_plugin(plugins: Path) -> None:
    """Training, resolved.yaml and predictions from another folder."""
    (plugins / "gain.py").write_text(documented())
    (plugins / "spec.yaml").write_text(
        "plugins: gain\ndata: iris\ninputs: {features: {tensor: [4]}}\n"
        "targets: {species: {category: [setosa, versicolor, virginica]}}\nnetwork: [gain, dense: 3]\n"
        "loss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1}\n"
    )
    dlc.train(dlc.load(plugins / "spec.yaml"), plugins / "run")
    assert f"plugins: [{plugins / 'gain.py'}]" in (plugins / "run" / "resolved.yaml").read_text()
    assert set(dlc.predict(plugins / "run", {"features": np.ones((2, 4))})) >= {"species"}
    dlc.allow_plugins(False)
    with pytest.raises(dlc.SpecError, match="DLC118"):
        dlc.predict(plugins / "run", {"features": np.ones((2, 4))})


def test_the_configuration_allows_a_file_by_its_whole_path(plugins: Path) -> None:
    """A name alone would allow any file of that name beside any spec."""
    dlc.allow_plugins(False)
    (plugins / "gain.py").write_text(documented())
    (plugins / "spec.yaml").write_text(SPEC.format(name="gain"))
    config_file().parent.mkdir(parents=True)
    config_file().write_text("allow_plugins: [gain]\n")
    assert list(check_file(plugins / "spec.yaml")[1].codes) == ["DLC118"]
    config_file().write_text(f"allow_plugins: [{plugins / 'gain.py'}]\n")
    assert check_file(plugins / "spec.yaml")[1].ok


def test_another_spec_does_not_see_the_words(plugins: Path) -> None:
    (plugins / "gain.py").write_text(documented())
    (plugins / "spec.yaml").write_text(SPEC.format(name="gain"))
    (plugins / "other.yaml").write_text("inputs: {x: {tensor: [4]}}\nnetwork: [gain, dense: 2]\n")
    assert check_file(plugins / "spec.yaml")[1].ok
    assert list(check_file(plugins / "other.yaml")[1].codes) == ["DLC105"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no')", "can't be loaded: RuntimeError: no"),
        ("import sys; sys.exit(3)", "can't be loaded: SystemExit: 3"),
        ("LAYERS = ", "can't be loaded: SyntaxError"),
        ("layers = {}", "defines no components"),
        ("LAYERS = {'gain': 'broken_plugin:Nothing'}", "`broken_plugin:Nothing` can't be loaded: AttributeError"),
        ("LAYERS = {'gain': 'broken_plugin'}", "LAYERS holds"),
        ("LAYERS = {'dense': 'broken_plugin:Dense'}", "dlc has a component `dense` already"),
        (
            "class Gain: word = 'gain'\nLAYERS = {'gain': 'broken_plugin:Gain'}",
            "`broken_plugin:Gain` is not a subclass of `Layer`",
        ),
        (
            "from dlc.components.layers.dense import Dense\nclass Gain(Dense): word = 'gain'\n"
            "LOSSES = {'gain': 'broken_plugin:Gain'}",
            "`broken_plugin:Gain` is not a subclass of `Loss`",
        ),
        (
            f"{HEAD}class Gain(Layer): word = 'gian'\nLAYERS = {{'gain': 'broken_plugin:Gain'}}",
            '`broken_plugin:Gain` has `word = "gian"`, but its name in LAYERS is "gain"',
        ),
        (f"{HEAD}class Gain(Layer): word = 'gain'\nLAYERS = {{'gain': Gain}}", "the entry `gain` of LAYERS is a class"),
        (
            f"{HEAD}class Gain(Layer):\n    word = 'gain'\n    size = option(3)\nLAYERS = {{}}",
            "the plugin `broken_plugin` can't be loaded: the option `size` has no type",
        ),
    ],
)
def test_a_broken_plugin_is_one_finding(plugins: Path, code: str, message: str) -> None:
    (plugins / "broken_plugin.py").write_text(code)
    (plugins / "spec.yaml").write_text(SPEC.format(name="broken_plugin"))
    _, report = check_file(plugins / "spec.yaml")
    assert list(report.codes) == ["DLC119"] and message in report.diagnostics[0].message
    sys.modules.pop("broken_plugin", None)


@pytest.mark.parametrize("name", ["no_such_module", "missing.py", "json.py"])
def test_a_plugin_that_is_not_there(plugins: Path, name: str) -> None:
    (plugins / "spec.yaml").write_text(SPEC.format(name=name))
    assert list(check_file(plugins / "spec.yaml")[1].codes) == ["DLC119"]


ACTIVATION = """
from dlc.components.layers.activations import Elementwise
from dlc.ir import Example


class Zap(Elementwise):
    \"\"\"(*shape) -> (*shape): f(x) = 2 x.\"\"\"

    word = "{word}"
    examples = (Example("{word}", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x):
        return 2 * x


ACTIVATIONS = {{"{word}": "{module}:Zap"}}
"""


def test_a_plugin_can_replace_no_word(plugins: Path) -> None:
    """Nor can two plugins bring the same one; and nothing stays behind."""
    before = dict(LAYERS)
    for module, word in (("dense_plugin", "dense"), ("repeat_plugin", "repeat"), ("zap_a", "zap"), ("zap_b", "zap")):
        (plugins / f"{module}.py").write_text(ACTIVATION.format(word=word, module=module))
    head = "inputs: {x: {tensor: [4]}}\nnetwork: [dense: 3]\n"
    for names in ("dense_plugin", "repeat_plugin", "zap_a, zap_b"):
        (plugins / "spec.yaml").write_text(f"plugins: [{names}]\n{head}")
        assert list(check_file(plugins / "spec.yaml")[1].codes) == ["DLC119"], names
    assert before == LAYERS
    (plugins / "spec.yaml").write_text(f"plugins: [zap_a]\n{head.replace('dense: 3', 'dense: 3, zap')}")
    assert check_file(plugins / "spec.yaml")[1].ok
    assert before == LAYERS


def test_an_initializer_of_a_plugin_draws(plugins: Path) -> None:
    (plugins / "half_plugin.py").write_text(
        "import numpy as np\nfrom dlc.components.initializers.initializer import Initializer\n\n\n"
        "class Half(Initializer):\n    word = 'half'\n\n"
        "    def draw(self, generator, shape, fan_in, fan_out):\n        return np.full(shape, 0.5, np.float32)\n\n\n"
        "INITIALIZERS = {'half': 'half_plugin:Half'}\n"
    )
    (plugins / "spec.yaml").write_text(
        "plugins: half_plugin\ninputs: {x: {tensor: [4]}}\nnetwork: [{dense: 3, initializer: half}]\n"
    )
    program = dlc.compile(dlc.load(plugins / "spec.yaml"))
    np.testing.assert_array_equal(program.init(0)["params"]["dense"]["kernel"], 0.5)


def test_a_plugin_may_bring_a_constraint(plugins: Path) -> None:
    (plugins / "even_plugin.py").write_text(
        "import jax.numpy as jnp\nfrom dlc.components.constraints.constraint import Constraint\n\n\n"
        "class Even(Constraint):\n    word = 'even'\n\n"
        "    def apply(self, weight, axes):\n        return 2 * jnp.round(weight / 2)\n\n\n"
        "CONSTRAINTS = {'even': 'even_plugin:Even'}\n"
    )
    (plugins / "spec.yaml").write_text(
        "plugins: even_plugin\ninputs: {x: {tensor: [4]}}\nnetwork: [{dense: 3, constraint: even}]\n"
    )
    program = dlc.compile(dlc.load(plugins / "spec.yaml"))
    bound = program.constrained({"dense": {"kernel": np.full((4, 3), 2.9), "bias": np.full(3, 2.9)}})
    np.testing.assert_array_equal(bound["dense"]["kernel"], 2)
    np.testing.assert_array_equal(bound["dense"]["bias"], 2.9)


@pytest.mark.parametrize("name", ["'.'", "'..'", "a/b", "x" * 300, "'1 2'"])
def test_what_names_no_module(plugins: Path, name: str) -> None:
    (plugins / "spec.yaml").write_text(SPEC.format(name=name))
    assert list(check_file(plugins / "spec.yaml")[1].codes) == ["DLC119"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b"- x", b"allow_plugins: gain", b"[" * 3000])
def test_a_damaged_configuration_is_a_finding(plugins: Path, content: bytes) -> None:
    dlc.allow_plugins(False)
    (plugins / "gain.py").write_text(documented())
    (plugins / "spec.yaml").write_text(SPEC.format(name="gain"))
    config_file().parent.mkdir(parents=True)
    config_file().write_bytes(content)
    assert not check_file(plugins / "spec.yaml")[1].ok
    config_file().write_bytes(b"")
    assert list(check_file(plugins / "spec.yaml")[1].codes) == ["DLC118"]


@pytest.mark.parametrize("place", ["/proc/kmsg", "/dev/zero", "pipe"])
def test_only_regular_files_are_read(place: str, plugins: Path) -> None:
    """Neither as a plugin, which may block, nor as the configuration."""
    dlc.allow_plugins(True)
    os.mkfifo(plugins / "pipe")
    (plugins / "gain.py").unlink(missing_ok=True)
    (plugins / "gain.py").symlink_to(place)
    for name in ("gain", "gain.py"):
        (plugins / "spec.yaml").write_text(SPEC.format(name=name))
        assert "DLC119" in check_file(plugins / "spec.yaml")[1].codes
    dlc.allow_plugins(False)
    config_file().parent.mkdir(parents=True)
    config_file().symlink_to(place if place.startswith("/") else plugins / place)
    assert not check_file(plugins / "spec.yaml")[1].ok
