"""The section `augment`: how it is read, what each item acts on, and the function that the training step calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.backend.augment import augmenter
from dlc.components.augmentations.mixing import Mixed
from dlc.components.initializers.initializer import path_hash
from dlc.frontend.pipeline import check_text
from dlc.frontend.resolved import dump, resolve_document
from dlc.ir import MASK
from tests.common import run_dlc

HEAD = """
data: {source: {npz: images.npz}}
inputs:
  image: {tensor: [8, 8, 1]}
  words: {tokens: {vocabulary: 100, length: 12, padding: 0}}
targets: {mask: {tensor: [8, 8, 1]}}
network:
  - embedding: {vocabulary: 100, size: 1}
    inputs: words
  - global_avg_pool1d
  - add: [image, previous]
  - conv2d: {filters: 1, padding: same}
loss: mse
optimizer: adam
""".replace("  - global_avg_pool1d\n", "  - global_avg_pool1d\n  - reshape: [1, 1, 1]\n").replace(
    "  - add: [image, previous]\n", "  - upsample2d: 8\n  - add: [image, previous]\n"
)


def spec_of(augment: str) -> Any:
    return dlc.loads(HEAD + augment)


def batch(count: int = 6) -> dict[str, dict[str, Any]]:
    generator = np.random.default_rng(0)
    words = np.where(np.arange(12) < generator.integers(1, 13, (count, 1)), generator.integers(1, 100, (count, 12)), 0)
    image = generator.uniform(size=(count, 8, 8, 1)).astype(np.float32)
    inputs = {"image": image, "words": words.astype(np.int32), "words" + MASK: words != 0}
    return {"inputs": inputs, "targets": {"mask": image.copy()}}


def equal(one: Any, other: Any) -> bool:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in leaves)


def test_what_an_item_acts_on() -> None:
    """The only input that fits, what `on` names, or for what mixes all inputs."""
    spec = spec_of("augment: [random_brightness, {random_flip: , on: [image, mask]}, {time_shift: , on: words}]\n")
    assert [term.on for term in spec.plan.augment] == [("image",), ("image", "mask"), ("words",)]
    assert [term.augmentation.word for term in spec.plan.augment] == ["random_brightness", "random_flip", "time_shift"]
    both = (
        "inputs: {a: {tensor: [4]}, b: {tensor: [3]}}\ntargets: {y: number}\nnetwork: [concat: [a, b], dense: 1]\n"
        "loss: mse\naugment: {item}\n"
    )
    assert dlc.loads(both.replace("{item}", "mixup")).plan.augment[0].on == ("a", "b")
    assert dlc.loads(both.replace("{item}", "{mixup: 1, on: b}")).plan.augment[0].on == ("b",)
    assert dlc.loads(both.replace("{item}", "[{jitter: , on: a}]")).plan.augment[0].on == ("a",)


def test_the_function_keeps_types_and_names() -> None:
    """Compiled; the same key gives the same bits, and what no item names stays as it is."""
    spec = spec_of(
        "augment:\n  - {random_flip: , on: [image, mask]}\n  - {random_crop: 2, on: [image, mask]}\n"
        "  - {time_shift: 0.5, on: words}\n  - jitter: 0.1\n    on: image\n  - {mixup: 1, on: image}\n"
    )
    function = jax.jit(augmenter(spec.plan))
    given = batch()
    one, mixed = function(jax.random.key(0), given)
    again = function(jax.random.key(0), given)
    assert equal((one, mixed), again)
    other, _ = function(jax.random.key(1), given)
    assert not np.array_equal(one["inputs"]["image"], other["inputs"]["image"])
    assert jax.tree.structure(one) == jax.tree.structure(given)
    for new, old in zip(jax.tree.leaves(one), jax.tree.leaves(given), strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
    mask = given["inputs"]["words" + MASK]
    assert np.array_equal(one["inputs"]["words" + MASK], mask)
    words = np.asarray(one["inputs"]["words"])
    assert not words[~mask].any() and words[mask].all(), "padding moved"
    assert not np.array_equal(words, given["inputs"]["words"])
    assert isinstance(mixed, Mixed) and mixed.lam.shape == (6,) and mixed.permutation.shape == (6,)


def test_image_and_target_move_alike() -> None:
    spec = spec_of("augment: [{random_rotate: 90, on: [image, mask]}, {random_crop: 3, on: [mask, image]}]\n")
    given = batch()
    new, mixed = jax.jit(augmenter(spec.plan))(jax.random.key(0), given)
    assert mixed is None
    assert np.array_equal(new["inputs"]["image"], new["targets"]["mask"])
    assert not np.array_equal(new["inputs"]["image"], given["inputs"]["image"])


def test_keys_follow_from_words_not_from_places() -> None:
    """An item before another one changes nothing of it; two of a word draw by themselves."""
    given = batch()
    flip = spec_of("augment: [{random_flip: , on: image}]\n")
    behind = spec_of("augment: [{jitter: 1, on: mask}, {random_flip: , on: image}]\n")
    key = jax.random.key(7)
    assert np.array_equal(augmenter(flip.plan)(key, given)[0]["inputs"]["image"], flipped := wanted(flip, key, given))
    assert np.array_equal(augmenter(behind.plan)(key, given)[0]["inputs"]["image"], flipped)
    twice = spec_of("augment: [{jitter: 1, on: image}, {jitter: 1, on: mask}]\n")
    assert [term.path for term in twice.plan.augment] == ["#augment/jitter", "#augment/jitter_2"]
    new, _ = augmenter(twice.plan)(key, given)
    noise = [
        np.ravel(new["inputs"]["image"] - given["inputs"]["image"]),
        np.ravel(new["targets"]["mask"] - given["targets"]["mask"]),
    ]
    assert abs(np.corrcoef(*noise)[0, 1]) < 0.2


def wanted(spec: Any, key: jax.Array, given: Any) -> Any:
    (term,) = spec.plan.augment
    own = jax.random.fold_in(key, path_hash(term.path))
    return term.augmentation.apply(own, jnp.asarray(given["inputs"]["image"]))[0]


def test_without_the_section_nothing_happens() -> None:
    given = batch()
    new, mixed = jax.jit(augmenter(spec_of("").plan))(jax.random.key(0), given)
    assert mixed is None and equal(new, given)


def test_the_network_does_not_know_of_it() -> None:
    """The program that evaluates, predicts and is exported is the one of a file without the section."""
    with_, without = spec_of("augment: [random_brightness]\n"), spec_of("")
    assert with_.plan.augment and not without.plan.augment
    nodes = [
        [(node.path, node.layer, node.types, node.signature) for node, _ in s.graph.walk()] for s in (with_, without)
    ]
    assert nodes[0] == nodes[1]
    assert with_.graph.inputs == without.graph.inputs and with_.graph.types == without.graph.types
    assert with_.plan.losses == without.plan.losses


def test_the_resolved_section_reads_back() -> None:
    text = (
        "augment:\n  - random_brightness: 0.2\n  - {random_crop: 2, on: [image, mask]}\n  - {time_shift: , on: words}\n"
        "  - {random_resized_crop: {ratio: [1, 1]}, on: image}\n  - {cutmix: {p: 0.5}, on: image}\n"
    )
    spec = spec_of(text)
    tree = resolve_document(spec)
    assert tree["augment"][1] == {
        "random_crop": {"p": 1.0, "mode": "constant", "value": 0.0, "label": 0, "padding": [2, 2]},
        "on": ["image", "mask"],
    }
    again = dlc.loads(dump(tree))
    assert again.plan.augment == spec.plan.augment
    assert dump(resolve_document(again)) == dump(tree)


def test_set_and_extends(tmp_path: Path) -> None:
    """Lists are replaced, one item for another too; `--set` enters them by number."""
    (tmp_path / "base.yaml").write_text(HEAD + "augment: {random_brightness: 0.1}\n")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\naugment: {random_contrast: 0.3}\n")
    (tmp_path / "list.yaml").write_text("extends: base.yaml\naugment: [random_invert, random_brightness]\n")
    (child,) = dlc.load(tmp_path / "child.yaml").plan.augment
    assert dict(child.augmentation)["factor"] == (0.7, 1.3)
    sets = ["augment.1.random_brightness.factor=0.5", "augment.0.random_invert.p=0.25"]
    first, second = dlc.load(tmp_path / "list.yaml", sets).plan.augment
    assert first.augmentation.p == 0.25 and dict(second.augmentation)["factor"] == (0.5, 1.5)
    spec = dlc.load(tmp_path / "list.yaml", ["augment=null"])
    assert spec.plan.augment == ()


PLUGIN = '''
from dlc.components.augmentations.augmentation import AugmentExample, Augmentation, need_real


class Double(Augmentation):
    """(batch, *axes): twice the value."""

    word = "double"
    examples = (AugmentExample("double", "f32[batch, 3]"),)

    def check(self, x):
        need_real(x, self.word)

    def draw(self, key, x, mask):
        return None

    def change(self, x, drawn, mask):
        return 2 * x


AUGMENTATIONS = {"double": "doubling:Double"}
'''


def test_a_plugin_brings_a_word(tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text(PLUGIN)
    (tmp_path / "spec.yaml").write_text("plugins: [doubling]\n" + HEAD + "augment: [{double: , on: image}]\n")
    assert run_dlc(["check", "--allow-plugins", "spec.yaml"], cwd=tmp_path).returncode == 0
    page = run_dlc(["layers", "double", "--plugin", "doubling"], cwd=tmp_path)
    assert page.returncode == 0 and "double (augmentations)" in page.stdout and "twice the value" in page.stdout


def test_the_reference_lists_the_words() -> None:
    page = run_dlc(["layers", "random_crop"])
    assert page.returncode == 0, page.stderr
    assert "random_crop (augmentations)" in page.stdout and "short form: `random_crop: padding`" in page.stdout
    assert "f32[batch, 6, 7, 3], i32[batch, 6, 7]<4" in page.stdout


@pytest.mark.parametrize(
    ("augment", "codes"),
    [
        ("augment: []", ["DLC102"]),
        ("augment: 3", ["DLC106"]),
        ("augment: [null]", ["DLC106"]),
        ("augment: [{random_flip: , mixup: }]", ["DLC106"]),
        ("augment: [{random_brightness: , on: []}]", ["DLC103"]),
        ("augment: [{random_brightness: , on: [1]}]", ["DLC103"]),
        ("augment: [{random_brightness: {factor: [.nan, 1]}}]", ["DLC104"]),
        ("augment: [{random_brightness: {factor: .inf}}]", ["DLC104"]),
        ("augment: [{random_translate: .nan, on: image}]", ["DLC104"]),
        ("augment: [{random_crop: [1, 2, 3], on: image}]", ["DLC104"]),
        ("augment: [{jitter: .inf, on: image}]", ["DLC103"]),
        ("augment: [{random_brightness: , name: x}]", ["DLC106"]),
        ("augment: [{random_brightness: {name: x}}]", ["DLC101"]),
    ],
)
def test_mistakes_of_form(augment: str, codes: list[str]) -> None:
    spec, report = check_text(HEAD + augment + "\n")
    assert spec is None
    assert list(report.codes) == codes


def test_words_are_loaded_only_where_they_are_used() -> None:
    """A check without the section reads no augmentation's module."""
    import subprocess
    import sys

    program = (
        "import sys\nfrom dlc.frontend.pipeline import check_text\n"
        f"text = {HEAD!r}\n"
        "assert check_text(text)[1].ok\n"
        "assert not [name for name in sys.modules if name.startswith('dlc.components.augmentations.')]\n"
        "assert check_text(text + 'augment: [random_brightness, {mixup: , on: image}]')[1].ok\n"
        "from dlc.components.augmentations import AUGMENTATIONS\nfrom dlc.language.options import load_class\n"
        "[load_class(AUGMENTATIONS, word) for word in AUGMENTATIONS]\n"
        "heavy = {'jax', 'optax', 'numpy', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
