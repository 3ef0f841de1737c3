"""Write wine.csv and new.csv from scikit-learn's wine data."""

import csv

from sklearn.datasets import load_wine

wine = load_wine()
names = [name.replace("/", "_") for name in wine.feature_names]
rows = [[*map(float, values), wine.target_names[label]] for values, label in zip(wine.data, wine.target, strict=True)]
held_out = range(0, len(rows), 40)  # five wines that training does not see

with open("wine.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow([*names, "cultivar"])
    writer.writerows(row for index, row in enumerate(rows) if index not in held_out)

with open("new.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(names)
    writer.writerows(rows[index][:-1] for index in held_out)
