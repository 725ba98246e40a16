"""Means, slopes and their 95% intervals: percentile bootstrap over clusters, fixed seed."""
import numpy as np


def bootstrap(clusters, figure, rounds=1000, seed=0):
    """clusters: list of arrays (rows = observations). figure: function of one array. -> value, low, high, n."""
    rng = np.random.default_rng(seed)
    clusters = [np.atleast_2d(np.asarray(c, float)) for c in clusters]
    values = []
    for _ in range(rounds):
        draw = rng.integers(0, len(clusters), len(clusters))
        values.append(figure(np.concatenate([clusters[i] for i in draw])))
    low, high = np.percentile(values, [2.5, 97.5])
    rows = np.concatenate(clusters)
    return {"value": round(float(figure(rows)), 4), "low": round(float(low), 4), "high": round(float(high), 4),
            "n": len(rows), "clusters": len(clusters)}


def wilson(right, n):
    """Interval of a share; unlike the bootstrap it stays honest at 0 and 1."""
    z, p = 1.959964, right / n
    mid = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"value": round(p, 4), "low": round(max(0.0, float(mid - half)), 4),
            "high": round(min(1.0, float(mid + half)), 4), "n": n}


def mean(values, seed=0):
    return bootstrap([[[x]] for x in values], lambda a: a[:, 0].mean(), seed=seed)


def slope_of(a):
    x, y = a[:, 0] - a[:, 0].mean(), a[:, 1]
    return (x * y).sum() / max((x * x).sum(), 1e-12)


def slope(groups, seed=0):
    """groups: per cluster a list of (x, y)."""
    return bootstrap(groups, slope_of, seed=seed)


def verdict(figure, planted):
    """By the 95% interval: absent = equivalent to zero, margin a quarter of the planted effect; present = not zero."""
    margin = abs(planted) / 4
    if -margin < figure["low"] and figure["high"] < margin:
        return "absent"
    return "present" if figure["low"] > 0 or figure["high"] < 0 else "undecided"
