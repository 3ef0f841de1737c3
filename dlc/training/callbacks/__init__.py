"""What happens beside the steps of a run: recovery, early stopping, events, progress, timing, profiles."""
