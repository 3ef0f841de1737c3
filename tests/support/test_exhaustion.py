"""Which errors mean that a resource ran out."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from dlc.diagnostics import SpecError
from dlc.support.exhaustion import exhausted, noticing_exhaustion


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (OSError(errno.EMFILE, "Too many open files", "x"), "file descriptors"),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), "file descriptors"),
        (ImportError("libjax_common.so: failed to map segment from shared object"), "memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4294967296 bytes."), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
    ],
)
def test_what_ran_out_is_said(error: Exception, what: str) -> None:
    found = exhausted(error)
    assert found is not None
    assert str(found) == f"DLC512: the process ran out of {what}"


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), ImportError("no module"), OSError(errno.ENOENT, "none", "x"), RuntimeError("INTERNAL: x")],
)
def test_other_errors_are_none_of_these(error: Exception) -> None:
    assert exhausted(error) is None


def test_the_cause_and_the_request_are_found() -> None:
    with pytest.raises(SpecError) as caught, noticing_exhaustion(lambda: "8 EiB"):
        try:
            np.empty(1 << 56, np.uint8)
        except MemoryError as error:
            raise RuntimeError("a library wraps it") from error
    item = caught.value.report.diagnostics[0]
    assert (item.code, item.found, item.expected) == ("DLC512", "a request for 64.0 PiB", "8 EiB")


def test_diagnostics_and_other_errors_pass() -> None:
    for error in (SpecError.of("DLC401", "x"), ValueError("x")):
        with pytest.raises(type(error)) as caught, noticing_exhaustion():
            raise error
        assert caught.value is error
