"""What happens beside the steps of training: one small class for each, called by the loop."""
