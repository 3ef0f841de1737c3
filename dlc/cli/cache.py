"""`dlc cache`: what is kept on disk for later runs, and how to delete it."""

from __future__ import annotations

from dlc.backend import compilation_cache
from dlc.cli.console import EXIT_CLEAN
from dlc.data import decoded_files
from dlc.diagnostics import SpecError, human, plural
from dlc.support.cache_folder import VARIABLE, Contents, cache_folder


def run(clear: bool) -> int:
    """Print what the caches hold, or delete it; the exit code.

    Raises:
        SpecError: DLC507 when a folder can't be read.
    """
    kinds = (
        ("compiled programs", compilation_cache.NAME, compilation_cache.contents, compilation_cache.MOST_BYTES),
        ("decoded files", decoded_files.NAME, decoded_files.contents, decoded_files.cache_size()),
    )
    try:
        for title, name, contents, most in kinds:
            folder = cache_folder(name)
            if folder is None:
                print(f"{title:<18} off: {VARIABLE}=off")
                continue
            found: Contents = contents(folder)
            size = f"{plural(len(found.files), 'file')}, {human(found.nbytes, 'B', 1024)}"
            if clear:
                print(f"{title:<18} {folder}: deleted {size}")
                found.delete()
            else:
                limit = f"of at most {human(most, 'B', 1024)}" if isinstance(most, int) else f"not used: {most}"
                print(f"{title:<18} {folder}: {size}, {limit}")
    except (OSError, RuntimeError) as error:
        raise SpecError.of("DLC507", f"the cache can't be used: {error}") from None
    return EXIT_CLEAN
