"""Smoothing of heat maps, term by term."""

import math

import numpy as np


def twin_smoothed(heat, sigma):
    """Cell by cell: each has a share of each, by their distance in cells."""
    rows, columns = heat.shape
    result = np.zeros((rows, columns))
    for row, column in np.ndindex(rows, columns):
        for other, another in np.ndindex(rows, columns):
            squared = ((row - other) / (sigma * rows)) ** 2
            squared += ((column - another) / (sigma * columns)) ** 2
            result[row, column] += math.exp(-squared / 2) * (heat[other, another] - heat.min())
    return result
