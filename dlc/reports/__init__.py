"""The report of a run: one HTML page with its spec, network, curves, metrics, predictions, times and environment.

markup.py       HTML and SVG as text; everything that is not markup is escaped
charts.py       lines, points and bars as SVG
layout.py       a layered drawing of a graph with frames in it
network.py      the network's picture
images.py       arrays as small PNG files
record.py       what the run folder holds
predictions.py  what the best weights answer on a split
answers.py      those answers as confusion matrix, plots, pictures and tables
page.py         the page
"""
