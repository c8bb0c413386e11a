# SPDX-License-Identifier: Apache-2.0
"""The two-sample Kolmogorov-Smirnov test."""

import math


def distance(first, second):
    """The largest difference of the two empirical distribution functions; ties are stepped
    together."""
    first, second = sorted(first), sorted(second)
    i = j = 0
    largest = 0.0
    while i < len(first) and j < len(second):
        value = min(first[i], second[j])
        while i < len(first) and first[i] == value:
            i += 1
        while j < len(second) and second[j] == value:
            j += 1
        largest = max(largest, abs(i / len(first) - j / len(second)))
    return largest


def p_value(first, second):
    """How likely so large a difference is between samples of one distribution: Kolmogorov's limit
    with Stephens' correction (Numerical Recipes, 14.3), good from a few dozen values on."""
    size = math.sqrt(len(first) * len(second) / (len(first) + len(second)))
    x = (size + 0.12 + 0.11 / size) * distance(first, second)
    if x < 0.2:
        return 1.0
    total = sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * total))
