"""Trained runs in use: prediction from tables, and exports."""
