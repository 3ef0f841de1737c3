"""Records that don't fit the memory they may take: read while training, to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.cli.reporters import Plain
from dlc.components.sources import stored
from dlc.components.sources.stored import Stored
from dlc.data.columns import Encoded, Parsed
from dlc.data.dataset import Sampler, load_dataset
from dlc.data.decoding import FileReader
from dlc.data.prefetch import Prefetcher
from dlc.data.values import Entries, parse
from dlc.diagnostics import render
from dlc.training import checkpoint as checkpoints
from dlc.training.callbacks.progress import Silent
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.common import ROOT

RECORDS = 600

SPEC = """
name: stream
data: {source: {SOURCE}, split: {validation: 0.2}, test: {TEST}, memory: MEMORY}
inputs:
  image: {tensor: {shape: [4, 4], scale: 16, normalize: standard}}
  words: {tokens: {vocabulary: 9, length: time, padding: 0}}
targets:
  kind: {category: {classes: [a, b, c], one_hot: true}}
  size: {number: standard}
network:
  - {flatten: , inputs: image, name: flat}
  - {embedding: {vocabulary: 9, size: 4}, inputs: words, name: embedded}
  - {global_avg_pool1d: , name: mean}
  - concat: [flat, mean]
  - dense: {units: 8, activation: relu}
  - batch_norm: 0.9
  - {dropout: 0.2, name: body}
  - {dense: 3, name: kind_logits}
  - {dense: 1, inputs: body, name: size_guess}
outputs: {kind: kind_logits, size: size_guess}
loss:
  - {cross_entropy: , output: kind, target: kind}
  - {mse: , output: size, target: size}
optimizer: {adam: 0.01}
train: {epochs: 2, batch_size: 32, MORE}
"""


def records(count: int, seed: int, longest: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    words = rng.integers(1, 9, (count, longest))
    words[np.arange(longest) >= rng.integers(1, longest + 1, (count, 1))] = 0
    return {
        "image": rng.integers(0, 17, (count, 16)).astype(np.uint8),
        "words": words,
        "kind": np.array(["a", "b", "c"])[rng.integers(0, 3, count)],
        "size": rng.normal(3, 2, count),
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same records as an archive, a compressed one and a text, and others to test on, whose words are fewer."""
    folder = tmp_path_factory.mktemp("tables")
    for name, given in (("train", records(RECORDS, 0, 5)), ("test", records(90, 1, 3))):
        np.savez(folder / f"{name}.npz", **given)
        np.savez_compressed(folder / f"{name}_small.npz", **given)
        columns = {}
        for key, values in given.items():
            flat = values.reshape(len(values), -1)
            columns |= {key if flat.shape[1] == 1 else f"{key}_{i}": flat[:, i] for i in range(flat.shape[1])}
        rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return folder


def spec_of(folder: Path, form: str, memory: str, more: str = "checkpoint_seconds: 2") -> dlc.Spec:
    file = {"npz": "%s.npz", "compressed": "%s_small.npz", "csv": "%s.csv"}[form]
    word = "csv" if form == "csv" else "npz"
    text = SPEC.replace("{SOURCE}", f"{{{word}: {folder / (file % 'train')}}}").replace(
        "{TEST}", f"{{{word}: {folder / (file % 'test')}}}"
    )
    if form == "csv":
        text = text.replace("shape: [4, 4]", "shape: [4, 4], columns: ['image_*']").replace(
            "length: time", "length: time, columns: ['words_*']"
        )
    return dlc.loads(text.replace("MEMORY", memory).replace("MORE", more))


def same_files(one: RunFolder, other: RunFolder) -> None:
    for path in ("weights.safetensors", "metrics.jsonl", "splits.safetensors", "result.json"):
        assert (one.path / path).read_bytes() == (other.path / path).read_bytes(), path
    fitted = [json.loads(run.features.read_text())["fitted"] for run in (one, other)]
    assert fitted[0] == fitted[1]


@pytest.fixture(scope="module")
def resident(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Trained with all records in memory."""
    run = RunFolder(tmp_path_factory.mktemp("resident") / "run")
    train_spec(spec_of(tables, "npz", "auto"), run=run)
    return run


@pytest.mark.parametrize("form", ["npz", "compressed", "csv"])
def test_streamed_records_are_those_in_memory(tables: Path, form: str) -> None:
    whole, kept = load_dataset(spec_of(tables, form, "auto").plan), load_dataset(spec_of(tables, form, "20 kB").plan)
    assert all(isinstance(value, np.ndarray) for value in whole.inputs.values())
    assert kept.fingerprint == whole.fingerprint
    rows = np.array([[3, 3, 689], [600, 0, 599]])
    for section in ("inputs", "targets"):
        for name, value in getattr(kept, section).items():
            wanted = getattr(whole, section)[name]
            assert isinstance(value, Encoded)
            assert (value.shape, value.dtype, value.nbytes) == (wanted.shape, wanted.dtype, wanted.nbytes)
            np.testing.assert_array_equal(value[rows], wanted[rows])
            np.testing.assert_array_equal(value[590:650], wanted[590:650])
    assert {name: list(fitted) for name, fitted in kept.stats.items()}["size"] == ["shift", "shift_rest", "scale"]
    for name, fitted in whole.stats.items():
        for key, value in fitted.items():
            np.testing.assert_array_equal(kept.stats[name][key], value)


def test_where_they_stay_is_the_sources_choice(tables: Path) -> None:
    """What can be read anywhere is parsed when it is needed; a text is parsed once; a part may still be in memory."""
    raw = load_dataset(spec_of(tables, "npz", "20 kB").plan).inputs["image"].raw
    assert isinstance(raw.parts[0], Parsed)
    assert isinstance(raw.parts[0].columns["image"], Stored)
    assert raw.parts[0].columns["image"].dtype == np.uint8
    raw = load_dataset(spec_of(tables, "csv", "20 kB").plan).inputs["image"].raw
    assert isinstance(raw.parts[0], Stored)
    assert raw.parts[0].dtype == np.float64  # as exact as the text


@pytest.mark.parametrize("form", ["npz", "compressed", "csv"])
def test_streamed_training_has_the_same_bits(tables: Path, resident: RunFolder, tmp_path: Path, form: str) -> None:
    run = RunFolder(tmp_path / "run")
    result = train_spec(spec_of(tables, form, "20 kB"), run=run)
    same_files(run, resident)
    assert 0 <= result.input_seconds <= result.seconds


def stop_after(calls: int) -> Any:
    left = iter([False] * calls)
    return lambda: next(left, True)


@pytest.mark.parametrize("order", [("20 kB", "auto"), ("auto", "20 kB")])
def test_where_records_lie_may_change_when_a_run_is_resumed(
    tables: Path, resident: RunFolder, tmp_path: Path, order: tuple[str, str]
) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        train_spec(spec_of(tables, "npz", order[0]), run=run, chunk_iterations=2, stop=stop_after(3))
    train_spec(spec_of(tables, "npz", order[1]), run=run, resume=True)
    same_files(run, resident)


def test_a_streamed_run_is_evaluated(tables: Path, resident: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train_spec(spec_of(tables, "csv", "20 kB"), run=run)
    mine, wanted = dlc.evaluate(run.path), dlc.evaluate(resident.path)
    assert mine.metrics == wanted.metrics
    np.testing.assert_array_equal(mine.confusion["kind"], wanted.confusion["kind"])


# ---- what goes wrong ----


def error_of(spec: dlc.Spec, **more: Any) -> str:
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(spec, **more)
    return render.text(caught.value.report)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


class Once(Silent):
    """Does something when the first epoch is over."""

    def __init__(self, deed: Any) -> None:
        self.deed = deed

    def epoch(self, record: Any, seconds: float, best: bool) -> None:
        if record["epoch"] == 1:
            self.deed()


def test_a_file_that_changes_ends_the_run_with_its_name(tables: Path, resident: RunFolder, tmp_path: Path) -> None:
    """Cut off, it would end the process; written over, it would train on something else."""
    for name in ("train.npz", "test.npz"):
        (tmp_path / name).write_bytes((tables / name).read_bytes())
    file = tmp_path / "train.npz"
    spec, run = spec_of(tmp_path, "npz", "20 kB", "checkpoint_seconds: 0"), RunFolder(tmp_path / "run")
    message = error_of(spec, run=run, chunk_iterations=1, reporter=Once(lambda: file.write_bytes(b"PK")))
    assert "DLC401" in message
    assert f"`{file}` changed while it was read" in message
    assert checkpoints.load(checkpoints.found(run)[0]).progress["epoch"] == 1
    file.write_bytes((tables / "train.npz").read_bytes())
    assert len(train_spec(spec, run=run, resume=True).history) == 2
    assert run.metrics.read_bytes() == resident.metrics.read_bytes()
    for thread in readers():
        thread.join(5)
    assert not readers()


def test_a_value_that_goes_bad_is_told_with_its_row() -> None:
    column = np.array(["1", "2", "x", "4"], object)
    spec = dlc.loads("inputs: {a: number}\nnetwork: [dense: 1]\n")
    feature = spec.plan.inputs["a"]
    assert feature is not None
    entries = Entries(lambda column, *_: column, Path(), FileReader())
    read = partial(parse, spec.plan, ("inputs", "a"), feature, ("a",), entries=entries)
    raw = Parsed({"a": column}, read, np.zeros((1, 1), np.float32))
    np.testing.assert_array_equal(raw[np.array([[3, 0], [1, 1]])][..., 0], [[4, 1], [2, 2]])
    with pytest.raises(dlc.SpecError, match="row 3 of column `a`"):
        raw[np.array([3, 0, 2])]
    with pytest.raises(dlc.SpecError, match="row 3 of column `a`"):
        raw[1:4]


def test_rows_are_counted_over_all_blocks(tmp_path: Path) -> None:
    text = "a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(500)) + "400,x\n"
    (tmp_path / "t.csv").write_text(text)
    spec = dlc.loads(
        f"data: {{source: {{csv: {tmp_path / 't.csv'}}}, memory: 30 kB}}\ninputs: {{a: number}}\n"
        "targets: {b: {category: 2}}\nnetwork: [dense: 2]\nloss: cross_entropy\noptimizer: sgd\n"
    )
    assert "row 501 of column `b`" in error_of(spec)
    (tmp_path / "t.csv").write_text(text.replace("\n300,0\n", "\n300,0,0\n"))
    assert "line 302 of" in error_of(spec)


def test_no_room_to_unpack_is_told(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/dev/full")
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    for form in ("csv", "compressed"):
        message = error_of(spec_of(tables, form, "20 kB"))
        assert "DLC507" in message
        assert "TMPDIR" in message
    monkeypatch.undo()
    scratch = stored.Scratch()
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(scratch, "_file", full)
        with pytest.raises(dlc.SpecError, match="no space left"):
            scratch.append(np.zeros(9))


@pytest.mark.parametrize("form", ["npz", "compressed"])
def test_a_damaged_archive_is_found_before_training(tables: Path, tmp_path: Path, form: str) -> None:
    name = "train.npz" if form == "npz" else "train_small.npz"
    for path in tables.glob("*.npz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((tmp_path / name).read_bytes())
    with zipfile.ZipFile(tmp_path / name) as archive:
        member = archive.getinfo("image.npy")
        data[member.header_offset + 300 + member.compress_size // 2] ^= 255
    (tmp_path / name).write_bytes(data)
    message = error_of(spec_of(tmp_path, form, "20 kB"))
    assert "DLC401" in message
    assert "image" in message


def test_an_array_in_fortrans_order_is_refused_with_the_way_out(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "test.npz").write_bytes((tables / "test.npz").read_bytes())
    given = records(RECORDS, 0, 5)
    np.savez(tmp_path / "train.npz", **{**given, "image": np.asfortranarray(given["image"])})
    load_dataset(spec_of(tmp_path, "npz", "auto").plan)
    message = error_of(spec_of(tmp_path, "npz", "20 kB"))
    assert "np.ascontiguousarray" in message


SLOW = """
import sys, time
from dlc.components.sources import stored
from dlc.cli import main
read = stored.Stored.__getitem__
def slowly(self, where):
    if not isinstance(where, slice):
        print("taking", flush=True)
        time.sleep(0.3)
    return read(self, where)
stored.Stored.__getitem__ = slowly
main()
"""


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_signals_end_a_run_whose_source_is_slow(tables: Path, tmp_path: Path, signals: list[int]) -> None:
    text = spec_of(tables, "npz", "20 kB").document.source.texts
    (tmp_path / "spec.yaml").write_text(next(iter(text.values())).replace("epochs: 2", "epochs: 200"))
    command = [sys.executable, "-c", SLOW, "train", str(tmp_path / "spec.yaml"), "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "taking\n":
            break
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    said = process.communicate(timeout=20)[0]
    assert "Traceback" not in said
    assert process.returncode == (75 if len(signals) == 1 else 130), said
    done = RunFolder(tmp_path / "run")
    assert not done.finished


# ---- the thread that works ahead ----


def test_what_was_begun_is_taken_and_what_fails_is_raised() -> None:
    made = []

    def make(start: int, length: int) -> tuple[int, int]:
        made.append((start, length))
        if start == 7:
            raise dlc.SpecError.of("DLC401", "gone")
        return start, length

    ahead: Prefetcher[tuple[int, int]] = Prefetcher()
    ahead.begin(make, 0, 3)
    assert ahead.promised(0) == 3
    assert ahead.promised(3) is None
    assert ahead.take(make, 0, 3) == (0, 3)
    ahead.begin(make, 3, 2)
    assert ahead.take(make, 3, 4) == (3, 4)  # another length than was begun
    assert (3, 4) in made
    ahead.begin(make, 7, 1)
    with pytest.raises(dlc.SpecError, match="gone"):
        ahead.take(make, 7, 1)
    assert list(ahead.each(make, 5, 2)) == [(0, 2), (2, 2), (4, 2)]
    assert list(ahead.each(make, 0, 2)) == []
    ahead.close()
    ahead.close()


def test_waiting_is_measured() -> None:
    def make(start: int, length: int) -> int:
        time.sleep(0.05)
        return start

    ahead: Prefetcher[int] = Prefetcher()
    ahead.take(make, 0, 1)
    assert 0.04 < ahead.waited < 0.5
    before = ahead.waited
    ahead.begin(make, 1, 1)
    time.sleep(0.2)
    ahead.take(make, 1, 1)
    assert ahead.waited - before < 0.04
    ahead.close()


def test_the_share_of_waiting_is_told(
    tables: Path, resident: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = []

    class Shares(Silent):
        def moment(self, moment: Any) -> None:
            shares.append(moment.waiting)

    read = Stored.__getitem__

    def slowly(self: Any, where: Any) -> Any:
        time.sleep(0.0 if isinstance(where, slice) else 0.02)
        return read(self, where)

    monkeypatch.setattr(Stored, "__getitem__", slowly)
    result = train_spec(spec_of(tables, "npz", "20 kB"), reporter=Shares())
    assert shares[0] == 0  # the first chunk compiles
    assert np.mean(shares[1:]) > 0.5
    assert 0.5 * result.seconds < result.input_seconds < result.seconds
    Plain().finished(replace(result, folder=resident), None)
    assert "were spent waiting for records" in capsys.readouterr().out
    Plain().finished(replace(result, folder=resident, input_seconds=0.0), None)
    assert "waiting" not in capsys.readouterr().out


def test_the_next_chunk_is_made_while_one_is_computed(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk but the first was begun before it was asked for, over the end of epochs, too."""
    asked, begun = [], set()
    begin, take = Prefetcher.begin, Prefetcher.take

    def beginning(self: Any, make: Any, start: int, length: int) -> None:
        begun.add((start, length))
        begin(self, make, start, length)

    def taking(self: Any, make: Any, start: int, length: int) -> Any:
        asked.append((start, length) in begun)
        return take(self, make, start, length)

    monkeypatch.setattr(Prefetcher, "begin", beginning)
    monkeypatch.setattr(Prefetcher, "take", taking)
    train_spec(spec_of(tables, "npz", "auto"), chunk_iterations=4)
    assert asked[0] is False
    assert len(asked) == 8
    assert all(asked[1:])


def test_an_epochs_order_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    philox = np.random.Philox

    def draw(**given: Any) -> Any:
        drawn.append(given["counter"][3])
        return philox(**given)

    sampler = Sampler(np.arange(10, dtype=np.int32), 4, 0)
    wanted = Sampler(np.arange(10, dtype=np.int32), 4, 0).batches(0, 10)
    monkeypatch.setattr(np.random, "Philox", draw)
    found = np.concatenate([sampler.batches(step, 1) for step in range(10)])
    np.testing.assert_array_equal(found, wanted)
    assert drawn == [0, 1, 2, 3]


# ---- memory ----

CAPPED = """
import hashlib, sys
import numpy as np
import dlc
spec = dlc.loads(sys.argv[1])
result = dlc.train(spec)
status = open("/proc/self/status").read()
weights = sorted(dlc.compile(spec).to_flat(result.variables).items())
print(int(status.split("VmHWM:")[1].split()[0]), hashlib.sha256(b"".join(w.tobytes() for _, w in weights)).hexdigest())
"""

BIG = """
data: {source: {npz: FILE}, memory: MEMORY}
inputs: {x: {tensor: {shape: [256], normalize: standard}}}
targets: {y: {category: 4}}
network: [dense: {units: 16, activation: relu}, dense: 4]
loss: cross_entropy
optimizer: {sgd: 0.1}
train: {epochs: 1, batch_size: 64}
"""


@pytest.mark.slow  # .ci/run runs it; that records stay on the disk is tested, too
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells no peak of memory")
def test_a_data_set_four_times_the_memory_trains_within_it(tmp_path: Path) -> None:
    """The peak of a whole process over that of one with a small data set; XLA's compiler alone varies by 10 MB."""
    cap, sizes = 48, {"small": 2048, "large": 196_608}  # MB; records of 1 kB
    for name, count in sizes.items():
        rng = np.random.default_rng(0)
        x = rng.standard_normal((count, 256), dtype=np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, y=rng.integers(0, 4, count))
    assert (tmp_path / "large.npz").stat().st_size > 4 * cap * 10**6

    def peak(name: str, memory: str) -> tuple[int, str]:
        text = BIG.replace("FILE", str(tmp_path / f"{name}.npz")).replace("MEMORY", memory)
        environment = {**os.environ, "XLA_FLAGS": "", "MALLOC_ARENA_MAX": "2"}
        done = subprocess.run(
            [sys.executable, "-c", CAPPED, text], env=environment, capture_output=True, text=True, cwd=ROOT, check=True
        )
        kibibytes, weights = done.stdout.split()
        return int(kibibytes) * 1024, weights

    base = peak("small", "4 GB")[0]
    streamed, mine = peak("large", f"{cap} MB")
    kept, wanted = peak("large", "4 GB")
    print(f"over a small data set's: streamed {(streamed - base) / 1e6:.1f} MB, in memory {(kept - base) / 1e6:.1f} MB")
    assert streamed - base < cap * 10**6
    assert kept - base > 4 * cap * 10**6  # else the test would show nothing
    assert mine == wanted
