"""From tables to batches: splits, statistics, records in memory or on disk, and the feeder of a training run."""
