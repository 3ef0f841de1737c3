"""From a document to a checked plan. Nothing here imports JAX or numpy."""
