"""The list of broken behaviors: each edit fits the code, and the command tells caught ones from missed ones."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from benchmarks.mutations import MUTATIONS, Mutation, caught
from tests.common import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.what for mutation in MUTATIONS])
def test_each_edit_fits_the_code(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new
    assert all((ROOT / path).exists() for path in mutation.tests)


def test_they_are_as_many_as_documented_and_all_different() -> None:
    found = re.search(r"benchmarks\.mutations.*\| (\d+) behaviors broken", (ROOT / "benchmarks/README.md").read_text())
    assert found is not None and int(found[1]) == len(MUTATIONS)
    assert max(Counter(mutation.what for mutation in MUTATIONS).values()) == 1


def test_a_broken_behavior_is_caught_and_a_harmless_edit_is_not() -> None:
    hint = next(mutation for mutation in MUTATIONS if mutation.what == "a misspelt name gets no hint")
    hint = hint._replace(tests=("dlc/diagnostics/wording.py",))
    assert caught(hint)
    assert not caught(hint._replace(new=f"{hint.old}  # the same"))
