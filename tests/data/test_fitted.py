"""What a run learned about its data: columns by name, splits by content, files wherever they are now."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlc
from dlc.data import fitted
from dlc.data.columns import Picked
from dlc.data.dataset import load_dataset
from dlc.data.fitted import Bytes, FittedData, Unpadded, record_digests
from dlc.diagnostics import SpecError
from dlc.reports.page import write_report
from dlc.support.files import digest, pack, to_json
from dlc.training.run_folder import RunFolder
from tests.cli.test_commands import dlc_command  # noqa: F401
from tests.reports.test_report import Outline

NAMES = ["m_0", "m_1", "m_2", "y"]
SPEC = (
    "dlc: 1\nname: table\ndata: {source: {csv: train.csv}, split: {test: 0.25}}\n"
    'inputs: {m: {tensor: {shape: [3], columns: "m_*"}}}\ntargets: {y: number}\n'
    "network: [dense: 1]\nloss: mse\nmetrics: [mae]\noptimizer: {adam: 0.5}\ntrain: {epochs: 2, batch_size: 9}\n"
)


def write(path: Path, table: dict[str, Any]) -> None:
    rows = zip(*table.values(), strict=True)
    path.write_text("\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]) + "\n")


def table_of(count: int, seed: int = 0) -> dict[str, Any]:
    values = np.random.default_rng(seed).normal(size=(count, 3)).round(3) * [1, 10, 100]
    return {**{name: values[:, index] for index, name in enumerate(NAMES[:3])}, "y": values.sum(1).round(3)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its data and a run."""
    folder = tmp_path_factory.mktemp("project") / "here"
    folder.mkdir()
    write(folder / "train.csv", table_of(36))
    (folder / "spec.yaml").write_text(SPEC)
    dlc.train(dlc.load(folder / "spec.yaml"), folder / "runs" / "table")
    return folder


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Iterator[Path]:
    """The same project, moved: nothing of it is where the run was trained."""
    shutil.copytree(project, tmp_path / "there")
    project.rename(project.parent / "gone")
    yield tmp_path / "there"
    (project.parent / "gone").rename(project)


# ---- digests ----


ARRAYS = st.lists(st.integers(-3, 3), min_size=12, max_size=12)


@given(ARRAYS, ARRAYS, st.permutations(range(4)))
def test_a_digest_is_of_a_record_wherever_it_stands(first: list[int], second: list[int], order: list[int]) -> None:
    values = [np.float32(first).reshape(4, 3), np.array(second, np.int32).reshape(4, 3, 1)]
    digests = record_digests(values)
    np.testing.assert_array_equal(record_digests([value[order] for value in values]), digests[order])
    records = [tuple(tuple(value[row].ravel().tolist()) for value in values) for row in range(4)]
    assert len(set(records)) == len(set(digests.tolist()))


def test_a_digest_depends_on_every_value_and_its_position() -> None:
    plain = np.zeros((1, 5), np.float64)
    variants = [plain]
    for place in range(5):
        for value in (1.0, -1.0, 2.0**-1074, np.inf):
            variants.append(plain.copy())
            variants[-1][0, place] = value
    variants += [np.float64([[1, -1, 0, 0, 0]]), np.float64([[-1, 1, 0, 0, 0]])]
    assert len({int(record_digests([variant])[0]) for variant in variants}) == len(variants)
    assert record_digests([-plain]) == record_digests([plain])


def test_a_digest_of_bytes_depends_on_every_byte_and_its_position() -> None:
    """8 of them are a word, and the last word may be shorter."""
    plain = np.zeros((1, 3, 7), np.uint8)
    variants = [plain]
    for place in range(plain.size):
        for value in (1, 128, 255):
            variants.append(plain.copy())
            variants[-1].flat[place] = value
    digests = record_digests([Bytes(np.concatenate(variants))])
    assert len(set(digests.tolist())) == len(variants)
    order = np.random.default_rng(0).permutation(len(variants))
    np.testing.assert_array_equal(record_digests([Bytes(np.concatenate(variants)[order])]), digests[order])


def test_a_digest_does_not_depend_on_types() -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (9, 3))
    kinds = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
    digests = [record_digests([numbers.astype(kind), numbers[:, 0].astype(np.int32)]) for kind in kinds]
    assert len({digest.tobytes() for digest in digests}) == 1
    close = np.float64([[1.0, 1.0], [1.0 + 2.0**-40, 1.0], [1.0, 1.0 + 2.0**-40]])
    assert len(set(record_digests([close]).tolist())) == 3


def test_a_digest_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32), np.arange(50, dtype=np.int32)]
    whole = record_digests(values)
    monkeypatch.setattr(fitted, "_BLOCK_BYTES", 64)
    np.testing.assert_array_equal(record_digests(values), whole)


@given(st.lists(st.integers(0, 5), min_size=4, max_size=20), st.randoms(use_true_random=False))
def test_records_are_found_in_any_order_each_once(values: list[int], random: Any) -> None:
    digests = np.array(values, np.uint64)
    learned = FittedData({}, {}, {"train": digests[:-2], "test": digests[-2:]})
    order = list(range(len(values)))
    random.shuffle(order)
    found = learned.find(digests[order])
    assert sorted([*found["train"], *found["test"]]) == list(range(len(values)))
    for name, rows in found.items():
        np.testing.assert_array_equal(digests[order][rows], learned.splits[name])
    with pytest.raises(SpecError) as error:
        learned.find(digests[order][1:])
    assert error.value.report.diagnostics[0].found == f"1 of its {len(values)} records is missing"


def test_further_padding_and_longer_records_change_no_digest() -> None:
    made = dlc.loads(
        "inputs: {x: {tokens: {vocabulary: 9, padding: 3}}}\nnetwork: [embedding: {vocabulary: 9, size: 2}]\n"
    )
    feature = made.plan.inputs["x"]
    raw = np.int32([[1, 0, 3, 3], [0, 3, 3, 3], [3, 3, 3, 3], [0, 0, 0, 1]])
    other = np.arange(4, dtype=np.float32)
    digests = record_digests([Unpadded(raw, feature), other])
    for more in (1, 2, 3):
        wider = np.pad(raw, ((0, 0), (0, more)), constant_values=3)
        np.testing.assert_array_equal(record_digests([Unpadded(wider, feature), other]), digests)
    assert len(set(digests.tolist())) == 4


# ---- columns ----


def test_columns_of_later_tables_are_found_by_name(project: Path, tmp_path: Path) -> None:
    run, table = project / "runs" / "table", table_of(20, seed=1)
    turned = {name: table[name] for name in ("y", "m_2", "m_0", "m_1")}
    write(tmp_path / "same.csv", table)
    write(tmp_path / "turned.csv", turned)
    np.savez(tmp_path / "turned.npz", **turned)
    wanted = dlc.evaluate(run, data=tmp_path / "same.csv").metrics
    assert wanted == dlc.evaluate(run, data=tmp_path / "turned.csv").metrics
    assert wanted == pytest.approx(dlc.evaluate(run, data=tmp_path / "turned.npz").metrics, rel=1e-6)
    answers = dlc.predict(run, tmp_path / "same.csv")["y"]
    np.testing.assert_array_equal(dlc.predict(run, tmp_path / "turned.csv")["y"], answers)
    np.testing.assert_array_equal(dlc.predict(run, turned)["y"], answers)


@pytest.mark.parametrize("section", ["validation", "test"])
def test_other_sources_have_the_columns_of_the_first(section: str, tmp_path: Path) -> None:
    table = table_of(30)
    write(tmp_path / "train.csv", table)
    write(tmp_path / "other.csv", {name: table[name] for name in ("m_1", "y", "m_2", "m_0")})
    spec = SPEC.replace("split: {test: 0.25}", f"{section}: {{csv: other.csv}}")
    (tmp_path / "spec.yaml").write_text(spec)
    data = load_dataset(dlc.load(tmp_path / "spec.yaml").plan)
    np.testing.assert_array_equal(data.inputs["m"][:30], data.inputs["m"][30:])
    assert data.fitted.columns == {"m": ("m_0", "m_1", "m_2"), "y": ("y",)}


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (["m_1", "m_2", "m_3"], ["no column `m_0`, which training read", "did you mean `m_3`"]),
        (["m_0", "m_1"], ["no column `m_2`, which training read"]),
        (["m_0", "m_1", "m_2", "m_3"], ["matches columns that training did not read"]),
    ],
)
def test_other_columns_than_those_of_training_are_an_error(project: Path, names: list[str], texts: list[str]) -> None:
    with pytest.raises(SpecError) as error:
        dlc.predict(project / "runs" / "table", {name: [1.0, 2.0] for name in names})
    item = error.value.report.diagnostics[0]
    assert item.code == "DLC402"
    assert all(text in f"{item.message} {item.found} {item.hint}" for text in texts)


def test_a_shorter_validation_table_does_not_change_what_training_read(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, width in (("train", 6), ("other", 4)):
        tokens = generator.integers(1, 9, (12, width))
        write(tmp_path / f"{name}.csv", {**{f"t_{i}": tokens[:, i] for i in range(width)}, "y": tokens[:, 0] % 2})
    (tmp_path / "spec.yaml").write_text(
        "data: {source: {csv: train.csv}, validation: {csv: other.csv}}\n"
        'inputs: {t: {tokens: {vocabulary: 9, padding: 0, columns: "t_*"}}}\ntargets: {y: {category: 2}}\n'
        "network: [embedding: {vocabulary: 9, size: 2}, global_avg_pool1d, dense: 2]\nloss: cross_entropy\n"
    )
    data = load_dataset(dlc.load(tmp_path / "spec.yaml").plan)
    assert data.fitted.columns["t"] == ("t_0", "t_1", "t_2", "t_3", "t_4", "t_5")
    assert data.inputs["t"].shape == (24, 6)


def test_a_table_is_not_read_to_find_its_columns() -> None:
    class Refuses(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise AssertionError(name)

    picked = Picked(Refuses(a=1), slice(0, 1))
    assert "a" in picked and "b" not in picked


# ---- splits ----


def test_a_split_is_what_it_was_in_whatever_order_its_records_are_now(copy: Path) -> None:
    run, table = copy / "runs" / "table", table_of(36)
    wanted = {split: dlc.evaluate(run, split=split).metrics for split in ("train", "test")}
    order = np.argsort(table["y"])
    write(copy / "train.csv", {name: column[order] for name, column in table.items()})
    assert {split: dlc.evaluate(run, split=split).metrics for split in wanted} == wanted
    dlc.train(RunFolder(run).load_spec(["train.epochs=4"]), run, resume=True)
    more = np.concatenate([order, order[:5]])  # records that the run never had change nothing
    write(copy / "train.csv", {name: column[more] + 0.0 for name, column in table.items()})
    assert dlc.evaluate(run, split="test").examples == 9


def test_a_resumed_run_goes_on_though_its_records_were_sorted(copy: Path) -> None:
    straight = dlc.train(dlc.load(copy / "spec.yaml", ["train.epochs=4"]))
    table = table_of(36)
    order = np.argsort(table["m_1"])
    write(copy / "train.csv", {name: table[name][order] for name in ("m_2", "y", "m_1", "m_0")})
    run = copy / "runs" / "table"
    resumed = dlc.train(RunFolder(run).load_spec(["train.epochs=4"]), run, resume=True)
    for first, second in zip(_leaves(straight), _leaves(resumed), strict=True):
        np.testing.assert_array_equal(first, second)


def _leaves(result: Any) -> list[Any]:
    params = result.variables["params"]["dense"]
    return [params["kernel"], params["bias"]]


def test_a_report_has_the_split_of_its_head_in_whatever_order_the_records_are_now(tmp_path: Path) -> None:
    """The confusion matrix counts as many right answers as the accuracy in the head, before and after."""
    x = np.random.default_rng(1).normal(size=40).round(3)
    table: dict[str, Any] = {"x": x, "y": np.where(x + np.random.default_rng(2).normal(size=40) > 0, "up", "down")}
    write(tmp_path / "t.csv", table)
    (tmp_path / "spec.yaml").write_text(
        "data: {source: {csv: t.csv}, split: {test: 15}}\ninputs: {x: number}\ntargets: {y: {category: [down, up]}}\n"
        "network: [dense: 2]\nloss: cross_entropy\nmetrics: [accuracy]\noptimizer: {sgd: 0.1}\n"
        "train: {epochs: 1, batch_size: 25}\n"
    )
    accuracy = dlc.train(tmp_path / "spec.yaml", tmp_path / "run").test["accuracy"]
    shown = []
    for order in (np.arange(40), np.argsort(x)):
        write(tmp_path / "t.csv", {name: column[order] for name, column in table.items()})
        page, notes = write_report(RunFolder(tmp_path / "run"), tmp_path / "page.html")
        assert notes == []
        outline = Outline(page.read_text(encoding="utf-8"))
        head = dict(zip([text for _, text in outline.all("dt")], [text for _, text in outline.all("dd")], strict=False))
        counts = outline.confusions()
        assert sum(count for count, _ in counts) == 15
        assert sum(count for count, right in counts if right) == pytest.approx(15 * accuracy)
        shown.append((head["test accuracy"], head["test loss"], counts))
    assert shown[0] == shown[1] and float(shown[0][0]) == pytest.approx(accuracy, rel=1e-3)


def test_changed_records_are_refused(copy: Path, dlc_command: Callable[..., Any]) -> None:  # noqa: F811
    run, table = copy / "runs" / "table", table_of(36)
    table["y"][[3, 17]] += 1
    write(copy / "train.csv", table)
    for call in (
        lambda: dlc.evaluate(run, split="train"),
        lambda: dlc.train(RunFolder(run).load_spec(["train.epochs=4"]), run, resume=True),
    ):
        with pytest.raises(SpecError) as error:
            call()
        item = error.value.report.diagnostics[0]
        assert (item.code, item.found) == ("DLC504", "2 of its 36 records are missing")
    status, out, err = dlc_command("report", str(run))
    assert status == 0
    assert "the data changed since the run began" in err + out


# ---- places ----


def test_a_run_and_its_data_may_move_together(copy: Path, dlc_command: Callable[..., Any]) -> None:  # noqa: F811
    run = copy / "runs" / "table"
    assert dlc.evaluate(run, split="test").examples == 9
    status, _, err = dlc_command("train", str(run), "--resume", "--set", "train.epochs=3", "--quiet")
    assert status == 0, err
    assert str(copy / "train.csv") in (run / "resolved.yaml").read_text()


def test_a_spec_that_moved_resumes_its_run(
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    dlc_command: Callable[..., Any],  # noqa: F811
) -> None:
    monkeypatch.chdir(copy)
    status, _, err = dlc_command("train", "spec.yaml", "--resume", "--set", "train.epochs=3", "--quiet")
    assert status == 0, err


def test_data_may_be_given_a_new_path(copy: Path, tmp_path: Path, dlc_command: Callable[..., Any]) -> None:  # noqa: F811
    (copy / "train.csv").rename(tmp_path / "elsewhere.csv")
    run, place = copy / "runs" / "table", f"data.source.csv.path={tmp_path / 'elsewhere.csv'}"
    with pytest.raises(SpecError, match="does not exist"):
        dlc.evaluate(run, split="test")
    status, _, err = dlc_command("train", str(run), "--resume", "--set", "train.epochs=3", "--set", place, "--quiet")
    assert status == 0, err
    assert dlc.evaluate(run, split="test").examples == 9


def test_a_run_that_moved_alone_finds_its_data_where_they_were(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "runs" / "table", tmp_path / "alone")
    assert dlc.evaluate(tmp_path / "alone", split="test").examples == 9


def test_a_project_may_be_reached_by_a_link(copy: Path, tmp_path: Path) -> None:
    """Its folder, its run, its spec and its data."""
    wanted = dlc.evaluate(copy / "runs" / "table", split="test").metrics
    (tmp_path / "link").symlink_to(copy)
    run = tmp_path / "link" / "runs" / "table"
    assert dlc.evaluate(run, split="test").metrics == wanted
    dlc.train(dlc.load(tmp_path / "link" / "spec.yaml", ["train.epochs=3"]), run, resume=True)
    (tmp_path / "run").symlink_to(copy / "runs" / "table")
    dlc.train(RunFolder(tmp_path / "run").load_spec(["train.epochs=4"]), tmp_path / "run", resume=True)
    (copy / "train.csv").rename(tmp_path / "mounted.csv")
    (copy / "train.csv").symlink_to(tmp_path / "mounted.csv")
    done = dlc.train(dlc.load(copy / "spec.yaml", ["train.epochs=5"]), copy / "runs" / "table", resume=True)
    assert [record["epoch"] for record in done.history] == [1, 2, 3, 4, 5]
    dlc.evaluate(tmp_path / "run", split="test")


def test_a_path_edited_by_hand_is_used(copy: Path, tmp_path: Path) -> None:
    run = copy / "runs" / "table"
    resolved = run / "resolved.yaml"
    (tmp_path / "other.csv").write_text((copy / "train.csv").read_text())
    lines = [
        f"      path: {tmp_path / 'other.csv'}" if "train.csv" in line else line
        for line in resolved.read_text().splitlines()
    ]
    resolved.write_text("\n".join(lines) + "\n")
    (copy / "train.csv").unlink()
    assert dlc.evaluate(run, split="test").examples == 9


@pytest.mark.parametrize("text", ["", "[]", "[1]", '{"a": 1}', '{"data.source.csv.path": {}}'])
def test_damaged_locations_are_reported(copy: Path, text: str) -> None:
    (copy / "runs" / "table" / "locations.json").write_text(text)
    with pytest.raises(SpecError) as error:
        dlc.evaluate(copy / "runs" / "table")
    assert error.value.report.codes == ("DLC503",)


def test_files_that_are_where_they_were_are_used(project: Path, tmp_path: Path) -> None:
    """Another file of that name beside the copy of a run is not taken for its data."""
    shutil.copytree(project / "runs" / "table", tmp_path / "runs" / "table")
    write(tmp_path / "train.csv", table_of(36, seed=5))
    assert dlc.evaluate(tmp_path / "runs" / "table", split="test").examples == 9


def test_damaged_splits_and_statistics_are_reported(copy: Path) -> None:
    run = RunFolder(copy / "runs" / "table")
    kept = run.splits.read_bytes()
    run.splits.write_bytes(pack({"train": np.zeros(0, np.uint64)}))
    with pytest.raises(SpecError, match="DLC503"):
        dlc.evaluate(run.path)
    run.splits.write_bytes(kept)
    for change in ({"columns": {"m": "m_0", "y": ["y"]}}, {"fitted": {"m": {"shift": 10**400}, "y": {}}}):
        found = json.loads(run.features.read_text())
        del found["sha256"]
        found |= change
        run.features.write_bytes(to_json({**found, "sha256": digest(to_json(found))}))
        with pytest.raises(SpecError, match="DLC503"):
            dlc.evaluate(run.path)
