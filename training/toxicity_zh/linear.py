"""Character n-grams under a logistic regression: the comparison of the card, and the teacher that cleans COLD's labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

_LONGEST, _LEAST, _STRENGTH = 3, 3, 2.0


def _grams(text: str) -> list[str]:
    low = text.lower()
    return [low[at : at + size] for size in range(1, _LONGEST + 1) for at in range(len(low) - size + 1)]


class Grams:
    """TF-IDF of the 1- to 3-grams of characters that stand in three texts or more: 1 + log(count), rows of length one."""

    def __init__(self, texts: Sequence[str]) -> None:
        held: Counter[str] = Counter()
        for text in texts:
            held.update(set(_grams(text)))
        kept = sorted(gram for gram, count in held.items() if count >= _LEAST)
        self._column = {gram: column for column, gram in enumerate(kept)}
        self._rarity = np.array([np.log((1 + len(texts)) / (1 + held[gram])) + 1 for gram in kept], dtype=np.float32)

    def __call__(self, texts: Sequence[str]) -> sparse.csr_matrix:
        ends, columns, values = [0], [], []
        for text in texts:
            counts = Counter(self._column[gram] for gram in _grams(text) if gram in self._column)
            columns += counts.keys()
            values += [1 + np.log(count) for count in counts.values()]
            ends.append(len(columns))
        shape = (len(texts), len(self._rarity))
        found = sparse.csr_matrix((np.array(values, np.float32), np.array(columns, np.int32), ends), shape=shape)
        found = found.multiply(self._rarity).tocsr()
        lengths = np.sqrt(np.asarray(found.multiply(found).sum(1)).ravel())
        return (sparse.diags(1 / np.maximum(lengths, 1e-6)) @ found).tocsr().astype(np.float32)


class Regression:
    """A logistic regression with a ridge; targets may be any share from 0 to 1."""

    def __init__(
        self,
        rows: sparse.csr_matrix,
        targets: np.ndarray,
        strength: float = _STRENGTH,
        steps: int = 150,
        *,
        constant: float | None = None,
    ) -> None:
        """`constant`: the logit of a row with nothing in it, where it is not to be learnt."""
        turned = rows.T.tocsr()

        def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
            logits = rows @ point[:-1].astype(np.float32) + point[-1]
            missed = 1 / (1 + np.exp(-logits)) - targets
            free = missed.sum() if constant is None else 0.0
            slope = np.append(turned @ missed.astype(np.float32) + point[:-1] / strength, free)
            value = (np.logaddexp(0, logits) - targets * logits).sum() + (point[:-1] ** 2).sum() / (2 * strength)
            return float(value), slope.astype(np.float64)

        start = np.append(np.zeros(rows.shape[1]), constant or 0.0)
        self._point = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x

    @property
    def weights(self) -> np.ndarray:
        """One a column, without the constant."""
        found: np.ndarray = self._point[:-1]
        return found

    def logits(self, rows: sparse.csr_matrix) -> np.ndarray:
        """One a row; above zero means likelier than not."""
        found: np.ndarray = rows @ self._point[:-1].astype(np.float32) + self._point[-1]
        return found


def chance(logits: np.ndarray) -> np.ndarray:
    """The logistic function."""
    found: np.ndarray = 1 / (1 + np.exp(-logits))
    return found
