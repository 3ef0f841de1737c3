"""Formulas over named arrays, with an explicit grammar."""
