"""Means, variances and their intervals, from estimates that come in chunks."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .estimators import Estimator


_TWO_SIDED = 1.959964  # of a standard normal at 95 %


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    r"""One estimator against the exact gradient $\nabla J$.

    `mean`: of an estimate, exact where `exact`, else from the sample. `bias`: its distance from
    $\nabla J$, within `bias_error` at 95 %; 0 where exact. `variance`: the covariance's trace,
    within `variance_error` at 95 %. `mean_squared_error`: bias² + variance. `cosine`: of mean and
    gradient, None where either is 0. `deviation`: the sampled mean's distance from the exact one
    in its standard errors, below 1.96 nineteen times in twenty; None without an exact mean.
    `microseconds`: to weigh one trajectory.
    """

    estimator: Estimator
    mean: Float[np.ndarray, " parameters"]
    exact: bool
    bias: float
    bias_error: float
    variance: float
    variance_error: float
    mean_squared_error: float
    cosine: float | None
    deviation: float | None
    microseconds: float


class ErrorMoments:
    """First and second moments of `[estimators, estimates, parameters]`, added up chunk by chunk.

    `controls`: for each estimator the row of the one it is compared with. Everything is counted
    from the first chunk's means, so that no digits are lost.
    """

    def __init__(self, rows: int, controls: Sequence[int]):
        self.controls = list(controls)
        self._rows = rows
        self.count = 0

    def add(self, chunk: Float[np.ndarray, "estimators estimates parameters"]) -> None:
        """Take in more estimates."""
        if self.count == 0:
            self._centre = chunk.mean(axis=1)
            self._sum = np.zeros_like(self._centre)
            self._squares, self._products = np.zeros_like(self._sum), np.zeros_like(self._sum)
            self._length = np.zeros((self._rows, 2))
        apart = chunk - self._centre[:, None]
        self._sum += apart.sum(axis=1)
        self._squares += np.einsum("enp,enp->ep", apart, apart)
        self._products += np.einsum("enp,enp->ep", apart, apart[self.controls])
        length = np.einsum("enp,enp->en", apart, apart)
        self._length += np.stack([length.sum(axis=1), (length**2).sum(axis=1)], axis=1)
        self.count += chunk.shape[1]

    @property
    def mean(self) -> Float[np.ndarray, "estimators parameters"]:
        """The mean of the estimates."""
        return self._centre + self._sum / self.count

    @property
    def variances(self) -> Float[np.ndarray, "estimators parameters"]:
        """Of each parameter's estimate; their sum is the covariance's trace."""
        return self._covariance(self._squares, self._sum)

    @property
    def with_control(self) -> Float[np.ndarray, "estimators parameters"]:
        """Covariances with the control's estimates of the same parameter."""
        return self._covariance(self._products, self._sum[self.controls])

    @property
    def variance_errors(self) -> Float[np.ndarray, " estimators"]:
        """Half-widths of the traces' 95 % intervals, from the spread of squared distances."""
        first, second = (self._length / self.count).T
        return _TWO_SIDED * np.sqrt(np.maximum(second - first**2, 0) / self.count)

    def _covariance(self, products, other_sum):
        return (products - self._sum * other_sum / self.count) / (self.count - 1)


def summarise(
    estimators: Sequence[Estimator],
    moments: ErrorMoments,
    exact: Sequence[np.ndarray | None],
    gradient: Float[np.ndarray, " parameters"],
    seconds: Float[np.ndarray, " estimators"],
) -> list[Row]:
    """A row for each estimator; `exact` are the means that are known."""
    means, traces, errors = moments.mean, moments.variances.sum(axis=1), moments.variance_errors
    rows = []
    for i, estimator in enumerate(estimators):
        known = exact[i]
        mean, bias_error = _controlled(moments, exact, i) if known is None else (known, 0.0)
        bias = float(np.linalg.norm(mean - gradient))
        row = Row(
            estimator=estimator,
            mean=mean,
            exact=known is not None,
            bias=bias,
            bias_error=bias_error,
            variance=float(traces[i]),
            variance_error=float(errors[i]),
            mean_squared_error=bias**2 + float(traces[i]),
            cosine=cosine(mean, gradient),
            deviation=None if known is None else _deviation(means[i] - known, traces[i], moments),
            microseconds=1e6 * float(seconds[i]),
        )
        rows.append(row)
    return rows


def _controlled(moments: ErrorMoments, exact, row: int) -> tuple[np.ndarray, float]:
    r"""The mean corrected by how far a control's sampled mean is from its exact one.

    $\bar x - c(\bar y - E y)$ with $c = \mathrm{Cov}(x, y)/\mathrm{Var}(y)$ for each parameter.
    The error is a radius that holds the true mean at 95 %: for a sum of squares of normal
    variables, however correlated, $1.96^2$ times its mean is exceeded no more often than by a
    single square; Székely and Bakirov (2003).
    """
    control = moments.controls[row]
    own, its = moments.variances[row], moments.variances[control]
    shared = moments.with_control[row]
    slope = np.divide(shared, its, out=np.zeros_like(its), where=its > 0)
    mean = moments.mean[row] - slope * (moments.mean[control] - exact[control])
    left = np.maximum(own - slope * shared, 0).sum()
    return mean, float(_TWO_SIDED * np.sqrt(left / moments.count))


def _deviation(gap: np.ndarray, trace: float, moments: ErrorMoments) -> float:
    error = np.sqrt(trace / moments.count)
    # An estimator that never varies is off by rounding, and nothing is a standard error of that.
    return float(np.linalg.norm(gap) / error) if error > 1e-12 * (1 + np.abs(gap).max()) else 0.0


def cosine(x: np.ndarray, y: np.ndarray) -> float | None:
    """Of the angle between two vectors; None where one of them is 0."""
    size = np.linalg.norm(x) * np.linalg.norm(y)
    return float(np.clip(x @ y / size, -1, 1)) if size > 0 else None
