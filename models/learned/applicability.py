"""Whether a vehicle resembles those a model was trained on; outside, the model withdraws to the laws and says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from models.domain import FloatArray

_TOLERANCE = 0.02
_QUANTILE = 0.95


@dataclass(frozen=True, eq=False)
class Applicability:
    """Box of the training features and the distance to their neighbours.

    Parameters
    ----------
    names
        Of the features.
    low, high
        Their range in training, shape (f,).
    scaled
        Training rows over the ranges, shape (n, f).
    limit
        Distance to the k-th neighbour that 95 % of the training rows keep, seen from the others. [1]
    """

    names: tuple[str, ...]
    low: FloatArray
    high: FloatArray
    scaled: FloatArray
    limit: float
    neighbours: int

    def reason_outside(self, features: FloatArray) -> str:
        """Why a row lies outside of what was learned from, empty where it lies inside."""
        width = np.maximum(self.high - self.low, 1e-12)
        out = (features < self.low - _TOLERANCE * width) | (features > self.high + _TOLERANCE * width)
        if out.any():
            return f"outside the range learned from: {', '.join(n for n, o in zip(self.names, out, strict=True) if o)}"
        row = ((features - self.low) / width)[None]
        model = NearestNeighbors(n_neighbors=self.neighbours).fit(self.scaled)
        if float(model.kneighbors(row)[0][0, -1]) > self.limit:
            return "no vehicle like this one among those learned from"
        return ""


def applicability(features: FloatArray, names: tuple[str, ...], neighbours: int) -> Applicability:
    """Learn the range and the usual distance of training rows, shape (n, f) with n > neighbours."""
    low, high = features.min(axis=0), features.max(axis=0)
    scaled = (features - low) / np.maximum(high - low, 1e-12)
    k = min(neighbours, features.shape[0] - 1)
    distance = NearestNeighbors(n_neighbors=k + 1).fit(scaled).kneighbors(scaled)[0][:, -1]
    return Applicability(names, low, high, scaled, float(np.quantile(distance, _QUANTILE)), k)
