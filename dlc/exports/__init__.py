"""From a run to an artifact that lives without dlc. Every artifact is loaded again and compared before it is kept."""
