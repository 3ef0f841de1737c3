"""Shared by all packages: lazy imports, files, optional dependencies, frozen dataclasses."""
