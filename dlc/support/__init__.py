"""What every package uses: lazy imports, files, optional dependencies."""
