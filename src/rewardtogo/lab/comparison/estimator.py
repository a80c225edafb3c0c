"""What an estimator of the policy gradient is, to the lab."""

import dataclasses
from collections.abc import Callable

from jaxtyping import Float

from ...types import AnyArray
from .context import Context
from .exact_means import Mass
from .weights import Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimator:
    r"""A named estimator.

    `meaning`: its formula. `source`: where it comes from. `needs`: what it must know beside its
    samples. `weights`: what multiplies each score, from samples. `mass`: the exact
    $E[w_t; s_t = s, a_t = a]$, None where it is no finite sum. `by_parameter`: $b_j$ where each
    parameter has a baseline of its own: $b_j \sum_t \gamma^t \partial_j \log\pi$ is taken off the
    weighed sum. `off_policy`: whether it samples β.
    """

    name: str
    meaning: str
    source: str
    weights: Weights
    mass: Mass | None = None
    by_parameter: Callable[[Context], Float[AnyArray, " parameters"]] | None = None
    needs: str = "–"
    off_policy: bool = False
