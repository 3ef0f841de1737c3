"""The components of the language: one class for each, in a package for each kind."""
