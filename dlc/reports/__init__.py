"""The report of a run: one HTML page with its spec, network, curves, metrics, predictions, times and environment.

markup.py       HTML and SVG as text, with escaping
charts.py       lines, points and bars as SVG
layout.py       layered graph drawing with nested frames
network.py      the picture of the network
images.py       arrays as small PNG images
record.py       the contents of the run folder
predictions.py  predictions of the best weights on a split
examples.py     examples by their inputs
arrays.py       predicted numbers as points, curves and pictures
answers.py      predictions by their kind: classes, labels, sequences, numbers
page.py         the page
"""
