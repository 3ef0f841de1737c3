"""Broken specs and what dlc says about them: each `NAME.yaml` beside this file has its report in `NAME.txt`.

`DLC_UPDATE_GOLDENS=1 pytest tests/broken` writes the reports anew; read the difference before you commit it.
A first line `# --set a=1 --set b=2` gives the settings that the command line would.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dlc.diagnostics import Report, render
from dlc.diagnostics.codes import CODES
from dlc.frontend.pipeline import check_file

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith("_"))


def settings(path: Path) -> list[str]:
    first = path.read_bytes().split(b"\n")[0].decode("utf-8", "replace")
    return re.findall(r"--set (\S+)", first) if first.startswith("# --set") else []


@pytest.fixture(autouse=True)
def _no_plugin_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tests before these allowed in this process."""
    monkeypatch.setattr("dlc.frontend.plugins._allowed", False)


@pytest.mark.parametrize("name", NAMES)
def test_report(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    spec, report = check_file(f"{name}.yaml", settings(FOLDER / f"{name}.yaml"))
    assert spec is None
    assert not report.ok
    text = render.text(report) + "\n"
    golden = FOLDER / f"{name}.txt"
    if os.environ.get("DLC_UPDATE_GOLDENS"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    need_style(report)


def need_style(report: Report) -> None:
    """What every report keeps to: a known code, one lower-case sentence, no finding twice, every machine format."""
    seen = set()
    for item in report.diagnostics:
        assert item.code in CODES
        assert item.code != "DLC900"
        first = item.message.lstrip("`")[0]
        assert item.message.startswith("`") or not first.isupper() or item.message.startswith("YAML"), item.message
        assert not item.message.endswith("."), item.message
        assert "\n" not in item.message
        assert item.found != "`...`", "a value that was reported is reported again"
        assert item.span is None or item.span.line >= 1
        place = (item.code, item.span, item.message)
        assert place not in seen
        seen.add(place)
    for form in render.FORMATS.values():
        assert form(report)


def test_no_golden_without_spec() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(NAMES)
