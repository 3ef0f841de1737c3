"""Huge pages are asked for where that helps and where nobody said otherwise."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.cli import huge_pages, main

ASKED = "glibc.malloc.hugetlb=1"


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a kernel that hands out huge pages on request."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "confstr", lambda _: "glibc 2.36", raising=False)
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    return path


def test_they_are_asked_for_on_request(setting: Path) -> None:
    assert huge_pages.environment({}, setting) == {"GLIBC_TUNABLES": ASKED}
    known = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}
    assert huge_pages.environment(known, setting) == {"GLIBC_TUNABLES": f"glibc.malloc.arena_max=2:{ASKED}"}


@pytest.mark.parametrize("said", [ASKED, "glibc.malloc.hugetlb=0", f"glibc.malloc.arena_max=2:{ASKED}"])
def test_what_the_user_said_stands(said: str, setting: Path) -> None:
    assert huge_pages.environment({"GLIBC_TUNABLES": said}, setting) == {}


@pytest.mark.parametrize("kernel", ["[always] madvise never", "always madvise [never]", "\xff", None])
def test_a_kernel_that_decides_alone_is_not_asked(kernel: str | None, setting: Path) -> None:
    setting.unlink()
    if kernel is not None:
        setting.write_text(kernel, encoding="latin-1")
    assert huge_pages.environment({}, setting) == {}


@pytest.mark.parametrize("library", ["glibc 2.34", "musl 1.2", "glibc", "glibc 3", "", None])
def test_other_c_libraries_are_not_asked(library: str | None, setting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda _: library, raising=False)
    assert huge_pages.environment({}, setting) == {}
    monkeypatch.setattr(os, "confstr", lambda _: "glibc 2.35", raising=False)
    assert huge_pages.environment({}, setting)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert huge_pages.environment({}, setting) == {}


PROGRAM = """
import os, sys
from dlc.cli import huge_pages
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], flush=True)
huge_pages.environment = lambda known: {huge_pages.VARIABLE: huge_pages.TUNABLE + "=1"}
huge_pages.restart()
print("goes on")
"""


@pytest.mark.skipif(not hasattr(os, "execve") or sys.platform == "win32", reason="needs a POSIX system")
@pytest.mark.parametrize(("name", "lives"), [("dlc", 2), ("host.py", 1)])
def test_the_command_begins_again_once_with_its_arguments(name: str, lives: int, tmp_path: Path) -> None:
    """Once, though all that is asked for is asked for again; a program that calls `main` would do all twice."""
    (tmp_path / name).write_text(PROGRAM)
    known = {key: value for key, value in os.environ.items() if key not in ("GLIBC_TUNABLES", huge_pages.MARK)}
    command = [sys.executable, "-W", "ignore", str(tmp_path / name), "train", "a b", "--c=1"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=known).stdout.splitlines()
    process = said[0].split()[0]
    batch_statistics = [f"{process} {tunables} ['train', 'a b', '--c=1']" for tunables in ("None", ASKED)]
    assert said == [*batch_statistics[:lives], "goes on"]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the process would begin again with."""
    called: list[object] = []
    monkeypatch.setattr(huge_pages, "environment", lambda _: {"GLIBC_TUNABLES": ASKED})
    monkeypatch.setattr(os, "execve", lambda *given: called.append(given))
    monkeypatch.setattr(sys, "gettrace", lambda: None)
    monkeypatch.setattr(sys, "getprofile", lambda: None)
    monkeypatch.setattr(sys, "argv", ["dlc", "train", "a.yaml"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "/bin/dlc", "train", "a.yaml"])
    monkeypatch.delenv(huge_pages.MARK, raising=False)
    return called


def test_a_process_that_cannot_begin_again_goes_on(begun: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object) -> None:
        begun.append(given)
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(os, "execve", fails)
    huge_pages.restart()
    assert len(begun) == 1


@pytest.mark.parametrize(
    "original",
    [
        ["python", "-m", "pytest"],
        ["python", "host.py", "train", "a.yaml"],
        ["python", "-", "train", "a.yaml"],
        ["python", "-c", "main()", "train", "a.yaml"],
        ["python", "host.py", "a.yaml"],
        ["train", "a.yaml"],
        ["python"],
        [],
    ],
)
def test_a_process_that_was_called_otherwise_goes_on(
    original: list[str], begun: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", original)
    huge_pages.restart()
    assert begun == []


def test_a_watched_process_goes_on(begun: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "gettrace", lambda: print)
    huge_pages.restart()
    assert begun == []


@pytest.mark.parametrize(("arguments", "count"), [(["train", "a.yaml"], 1), (["check", "a.yaml"], 0), ([], 0)])
def test_training_alone_begins_again(
    arguments: list[str], count: int, begun: list[object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dlc", *arguments])
    monkeypatch.setattr(sys, "orig_argv", ["python", "/bin/dlc", *arguments])
    with pytest.raises(SystemExit):
        main()
    gc.enable()
    assert len(begun) == count
