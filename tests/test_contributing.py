"""CONTRIBUTING, followed literally: each example is a plugin, passes the battery and works in the spec below it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import dlc
from dlc.components.registry import KINDS, PLUGIN_TABLES
from dlc.components.sources.files import FileSource
from dlc.diagnostics import Problems
from dlc.frontend.plugins import active, load_plugin
from tests import plugin as command
from tests.common import ROOT
from tests.components.battery import check_component
from tests.frontend.test_plugins import plugins  # noqa: F401 - a fixture

SAME = {"initializer", "constraint", "activation", "block"}  # kinds that CONTRIBUTING only mentions


class Guide(NamedTuple):
    """A section of CONTRIBUTING: what is added, the plugin and the spec that uses it."""

    title: str
    code: str
    spec: str

    @property
    def module(self) -> str:
        """The name of the file, as the section and the table give it."""
        table, place = re.findall(r"^([A-Z]+) = \{\"\w+\": \"(\w+):\w+\"\}$", self.code, re.MULTILINE)[0]
        assert table in PLUGIN_TABLES
        return str(place)


def guides() -> list[Guide]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = []
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"```(?:python|text)\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
        if blocks:
            code, spec = blocks
            found.append(Guide(section.partition("\n")[0], code, spec))
    return found


GUIDES = guides()


def test_every_kind_has_a_guide() -> None:
    kinds = {kind.name for guide in GUIDES for kind in KINDS.values() if f"{kind.table_name} = {{" in guide.code}
    assert kinds == set(KINDS) - SAME


@pytest.mark.parametrize("guide", GUIDES, ids=[guide.title for guide in GUIDES])
def test_a_guide_followed_literally(guide: Guide, plugins: Path) -> None:  # noqa: F811
    (plugins / f"{guide.module}.py").write_text(guide.code, encoding="utf-8")
    (plugins / "spec.yaml").write_text(guide.spec, encoding="utf-8")
    plugin = load_plugin(guide.module, plugins, None, Problems())
    assert plugin is not None
    ((table, words),) = ((table, words) for table, words in plugin.tables.items() if words)
    kind, (word,) = PLUGIN_TABLES[table], words
    with active([plugin]):
        check_component(kind, word)
        cls = kind.load(word)
    if issubclass(cls, FileSource):
        (plugins / f"{word}.txt").write_bytes(cls.sample())  # the name in the spec
    assert word not in kind.table
    report = dlc.check(plugins / "spec.yaml")
    assert report.ok, report.diagnostics
    spec = dlc.load(plugins / "spec.yaml")
    if spec.document.data is not None:
        dlc.train(spec, plugins / "run")
        assert (plugins / "run" / "metrics.jsonl").read_text().count("\n") >= 1
    if kind.name == "export":
        assert dlc.export(plugins / "run", word).is_file()


@pytest.mark.parametrize("guide", GUIDES, ids=[guide.title for guide in GUIDES])
def test_an_example_can_be_moved_into_dlc(guide: Guide) -> None:
    """It passes the linter there."""
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", "dlc/components/example.py", "-"]
        done = subprocess.run(command, cwd=ROOT, input=guide.code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_of_a_plugin_can_be_run(plugins: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    guide = next(guide for guide in GUIDES if guide.module == "announce")
    file, wrong = plugins / "announce.py", plugins / "wrong.py"
    file.write_text(guide.code, encoding="utf-8")
    wrong.write_text(
        guide.code.replace("announce: {every", "announce: {evry").replace("announce", "wrong"), encoding="utf-8"
    )
    assert command.main([str(file)]) == 0
    assert capsys.readouterr().out == "callback announce: passed\n"
    assert command.main([str(wrong)]) == 1
    assert "callback wrong: the example `wrong: {evry: 2" in capsys.readouterr().out
