"""The documentation's examples run: specs check, Python runs, commands parse, and shown reports are what is printed.

A fence's first line says what is done with it:

- `yaml`: must check clean; what has no `network` is completed from a spec of digits.
- `yaml DLC205 DLC208`: a broken spec; these are the codes that it gives.
- `yaml name.yaml`: also written to that file, for the commands below it; codes may follow.
- `python`: runs; the blocks of a page share their names. `python fragment` is compiled only.
- `console`: lines with `$ ` are commands; `dlc ...` must parse, and what stands below check, explain, show, layers and
  init is compared with what they print. DLC_UPDATE_GOLDENS=1 regenerates it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
import yaml

import dlc
from dlc.cli.app import app
from dlc.diagnostics.codes import CODES
from tests.common import ROOT, run_dlc

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PRINTING = {"check", "explain", "show", "layers", "init"}
FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BASE = """
data: {source: digits, split: {validation: 0.1, test: 0.1}}
inputs: {image: {tensor: {shape: [8, 8, 1], scale: 16}}}
targets: {digit: {category: 10}}
network: [flatten, {dense: 10}]
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 1e-3}
train: {epochs: 20, batch_size: 32}
"""


class Block(NamedTuple):
    """A fenced block: where it stands, what it is, the words after that, its text."""

    page: Path
    line: int
    kind: str
    words: list[str]
    text: str

    def __repr__(self) -> str:
        return f"{self.page.stem}:{self.line}"


def blocks(*pages: Path) -> list[Block]:
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1], match[2].split(), match[3]))
    return found


ALL = blocks(*PAGES)


def kind(*names: str) -> list[Block]:
    return [block for block in ALL if block.kind in names]


def test_every_block_has_a_known_kind() -> None:
    assert {block.kind for block in ALL} <= {"yaml", "python", "console", "text", "json"}
    assert all(block.kind != "" for block in ALL)


def whole(text: str) -> str:
    """A block as a whole spec: sections that it lacks come from the base."""
    sections = yaml.load(text, yaml.BaseLoader)
    assert isinstance(sections, dict), "a block of YAML is a mapping of sections"
    if "network" in sections or "extends" in sections:
        return text
    base = [line for line in BASE.strip().splitlines() if line.partition(":")[0] not in sections]
    return text + "\n".join(base) + "\n"


@pytest.mark.parametrize("block", kind("yaml"), ids=repr)
def test_yaml(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [word for word in block.words if word in CODES]
    assert [word for word in block.words if not word.endswith(".yaml")] == codes
    write_files(block.page, tmp_path)
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "block.yaml").write_text(whole(block.text) if not codes else block.text, encoding="utf-8")
    report = dlc.check("block.yaml")
    absent = {"DLC401"}  # a warning: the examples name data files that are not there
    assert sorted(set(report.codes) - absent) == sorted(codes), dlc.SpecError(report)


def write_files(page: Path, folder: Path) -> None:
    for block in ALL:
        for word in block.words:
            if block.page == page and block.kind == "yaml" and word.endswith(".yaml"):
                (folder / word).write_text(block.text, encoding="utf-8")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader of the documentation has it: the specs, and a short run of one."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "specs", folder / "specs")
    spec = dlc.load(ROOT / "specs" / "digits_mlp.yaml", ["train.epochs=2"])
    dlc.train(spec, folder / "runs" / "digits-mlp")
    return folder


@pytest.mark.parametrize("page", sorted({block.page for block in kind("python")}), ids=lambda page: page.stem)
def test_python(page: Path, workplace: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(workplace, work)
    write_files(page, work)
    parts = []
    for block in kind("python"):
        if block.page == page:
            compile(block.text, repr(block), "exec")
            parts += [block.text] if "fragment" not in block.words else []
    script = work / "page.py"
    script.write_text("\n".join(parts), encoding="utf-8")
    command = [sys.executable, "-W", "error", script.name]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a block, each with the output below it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found:
            command, output = found[-1]
            found[-1] = (command, f"{output}{line}\n")
    return found


CONSOLE = [(block, command, output) for block in kind("console") for command, output in commands(block)]


@pytest.mark.parametrize(("block", "command", "output"), CONSOLE, ids=lambda value: repr(value)[:50])
def test_console(block: Block, command: str, output: str, workplace: Path, tmp_path: Path) -> None:
    for part in command.split("&&"):
        words = shlex.split(part, comments=True)
        if words[:1] != ["dlc"]:
            continue
        group = typer.main.get_command(app)
        name = words[1] if len(words) > 1 else "--help"
        if name.startswith("-"):
            assert name in ("--help", "--version")
            continue
        assert name in group.commands, f"{block}: no command {name}"
        group.commands[name].make_context(name, words[2:])
        if not output.strip() or name not in PRINTING or "&&" in command:
            continue
        work = tmp_path / "work"
        shutil.copytree(workplace, work)
        write_files(block.page, work)
        done = run_dlc(words[1:], cwd=work)
        printed = "\n".join(line.rstrip() for line in (done.stdout + done.stderr).splitlines()).strip()
        if os.environ.get("DLC_UPDATE_GOLDENS") and "..." not in output:
            page = block.page.read_text(encoding="utf-8")
            block.page.write_text(page.replace(f"$ {command}\n{output}", f"$ {command}\n{printed}\n"), encoding="utf-8")
            return
        agree(output.strip(), printed)


def agree(shown: str, printed: str) -> None:
    """What is shown is what is printed; a line of `...` stands for any lines, and a source may be on another line."""
    shown, printed = (re.sub(r"(?m)^(source: \S+\.py):\d+$", r"\1", text) for text in (shown, printed))
    pattern = ".*".join(re.escape(part.strip()) for part in re.split(r"(?m)^\.\.\.$", shown))
    assert re.fullmatch(pattern, printed, re.DOTALL), printed


def test_links() -> None:
    """Relative links lead to files that exist."""
    for page in [*PAGES, *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_errors_page() -> None:
    """docs/errors.md lists every code with its title and explanation; DLC_UPDATE_GOLDENS=1 writes it."""
    lines = ["# Diagnostic codes", "", "`dlc explain CODE` prints the same.", ""]
    for code, entry in CODES.items():
        lines += [f"## {code}: {entry.title}", "", entry.text, ""]
    text = "\n".join(lines)
    page = ROOT / "docs" / "errors.md"
    if os.environ.get("DLC_UPDATE_GOLDENS"):
        page.write_text(text, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == text, "run DLC_UPDATE_GOLDENS=1 pytest tests/test_docs.py"


def test_dependencies_page() -> None:
    """docs/dependencies.md gives a reason for each dependency, and for nothing else."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    names = {re.split(r"[<>=\[]", item)[0].lower() for item in [*project["dependencies"], *extras["dev"]]}
    names.discard("dlc")  # its own extras
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = {name.lower() for name in re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)}
    assert rows == names | {f"dlc[{extra}]" for extra in extras if extra != "dev"}


def test_nothing_of_other_machines() -> None:
    """No absolute paths of the machine that it was written on."""
    for page in PAGES:
        assert not re.search(r"/(home|work|tmp|root)/\w", page.read_text(encoding="utf-8")), page.name


def test_pages_name_the_components() -> None:
    """Counts in README and the roadmap, and the lists of losses, callbacks and sources; all that is missing at once."""
    from dlc.components.registry import KINDS

    plurals = {kind.plural: kind for kind in KINDS.values()}
    pattern = re.compile(rf"(\d+)\s+({'|'.join(plurals)})\b")
    wrong, seen = [], 0
    for name in ("README.md", "docs/roadmap.md"):
        for count, plural in pattern.findall((ROOT / name).read_text(encoding="utf-8")):
            right = len(plurals[plural].table)
            wrong += [f"{name}: {count} {plural} must be {right}"] if int(count) != right else []
            seen += 1
    assert seen >= 8
    for name, kind in (("losses.md", "loss"), ("training.md", "callback"), ("language.md", "source")):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        wrong += [
            f"docs/{name}: the {kind} `{word}` is missing" for word in KINDS[kind].table if f"`{word}`" not in text
        ]
    assert not wrong, "\n".join(wrong)
