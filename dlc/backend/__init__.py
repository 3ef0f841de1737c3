"""From a typed graph to compiled functions. JAX is imported here and below, not above."""
