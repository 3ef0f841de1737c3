"""The syntax: YAML text with positions, variables, options and items."""
