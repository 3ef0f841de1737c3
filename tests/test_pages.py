"""Huge pages are asked for where that helps and where nobody said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.cli import pages

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
    assert pages.environment({}, setting) == {"GLIBC_TUNABLES": ASKED}
    known = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}
    assert pages.environment(known, setting) == {"GLIBC_TUNABLES": f"glibc.malloc.arena_max=2:{ASKED}"}


@pytest.mark.parametrize("said", [ASKED, "glibc.malloc.hugetlb=0", f"glibc.malloc.arena_max=2:{ASKED}"])
def test_what_the_user_said_stands(said: str, setting: Path) -> None:
    assert pages.environment({"GLIBC_TUNABLES": said}, setting) == {}


@pytest.mark.parametrize("kernel", ["[always] madvise never", "always madvise [never]", "\xff", None])
def test_a_kernel_that_decides_alone_is_not_asked(kernel: str | None, setting: Path) -> None:
    setting.unlink()
    if kernel is not None:
        setting.write_text(kernel, encoding="latin-1")
    assert pages.environment({}, setting) == {}


@pytest.mark.parametrize("library", ["glibc 2.34", "musl 1.2", "glibc", "glibc 3", "", None])
def test_other_c_libraries_are_not_asked(library: str | None, setting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda _: library, raising=False)
    assert pages.environment({}, setting) == {}
    monkeypatch.setattr(os, "confstr", lambda _: "glibc 2.35", raising=False)
    assert pages.environment({}, setting)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert pages.environment({}, setting) == {}


PROGRAM = """
import os, sys
from dlc.cli import pages
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], flush=True)
pages.environment = lambda known: {} if pages.VARIABLE in known else {pages.VARIABLE: pages.TUNABLE + "=1"}
pages.restart()
print("goes on")
"""


@pytest.mark.skipif(not hasattr(os, "execve") or sys.platform == "win32", reason="needs a POSIX system")
def test_the_process_begins_again_once_with_its_arguments() -> None:
    known = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, "a b", "--c=1"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=known).stdout.splitlines()
    process = said[0].split()[0]
    assert said == [f"{process} None ['a b', '--c=1']", f"{process} {ASKED} ['a b', '--c=1']", "goes on"]


def test_a_process_that_cannot_begin_again_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []

    def fails(*given: object) -> None:
        called.append(given)
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(pages, "environment", lambda _: {"GLIBC_TUNABLES": ASKED})
    monkeypatch.setattr(os, "execve", fails)
    monkeypatch.setattr(sys, "argv", ["dlc", "train", "a.yaml"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "/bin/dlc", "train", "a.yaml"])
    pages.restart()
    assert len(called) == 1


@pytest.mark.parametrize("original", [["python", "-m", "pytest"], ["python", "host.py", "a.yaml"], ["python"], []])
def test_a_process_that_was_called_otherwise_goes_on(original: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that calls `main` itself would be lost."""
    monkeypatch.setattr(pages, "environment", lambda _: {"GLIBC_TUNABLES": ASKED})
    monkeypatch.setattr(sys, "argv", ["dlc", "train", "a.yaml"])
    monkeypatch.setattr(sys, "orig_argv", original)
    pages.restart()
