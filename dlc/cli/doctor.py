"""`dlc doctor`: installed versions, devices, and whether they compute correctly."""

from __future__ import annotations

from dlc.cli.console import EXIT_CLEAN, EXIT_FINDINGS


def examine() -> int:
    """Print versions and devices; the exit code, 1 when something does not work."""
    from dlc.backend.jax_config import configure

    cache = configure()
    import jax
    import jax.numpy as jnp

    from dlc.training.run_folder import environment

    facts = environment()
    print(f"python        {facts['python']} on {facts['platform']}, {facts['cpus']} cpus")
    for name, version in facts["packages"].items():
        print(f"{name:<14}{version}")
    print(f"backend       {facts['backend']}")
    good = True
    for device in jax.devices():
        try:
            with jax.default_device(device):
                value = float(jnp.dot(jnp.arange(4.0), jnp.arange(4.0)))
            verdict = "computes" if value == 14.0 else f"computes wrongly: 0+1+4+9 gave {value}"
        except RuntimeError as error:
            verdict = f"fails: {str(error).splitlines()[0]}"
        good = good and verdict == "computes"
        memory = device.memory_stats() if device.platform != "cpu" else None
        size = f", {memory['bytes_limit'] / 2**30:.1f} GiB" if memory and "bytes_limit" in memory else ""
        print(f"device {device.id}      {device.device_kind}{size}: {verdict}")
    if cache.folder is None:
        print(f"cache         off: {cache.reason}")
    else:
        programs, nbytes = cache.contents()
        print(f"cache         {cache.folder}: {programs} compiled programs, {nbytes / 2**20:.1f} MiB")
    missing = [name for name, version in facts["packages"].items() if version == "not installed" and name != "dlc"]
    for name in missing:
        print(f"missing       {name}: reinstall dlc")
    print("all good" if good and not missing else "something is wrong")
    return EXIT_CLEAN if good and not missing else EXIT_FINDINGS
