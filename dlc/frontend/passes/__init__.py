"""The stages of the front end, one a file: expand, resolve, infer, match, lint. Each is a plain function."""
