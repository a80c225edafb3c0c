"""How a gradient becomes a step."""

import enum

import optax

from ..types import Scalar


class StepRule(enum.Enum):
    """What scales each parameter's step by the size of its past gradients, if anything does."""

    SGD = "sgd"
    ADAM = "adam"
    RMSPROP = "rmsprop"


def step_rule(
    rule: StepRule, learning_rate: Scalar | optax.Schedule
) -> optax.GradientTransformation:
    """Plain gradient descent; Adam; or RMSProp, Mnih et al. (2016), with ε under the root."""
    match rule:
        case StepRule.SGD:
            return optax.sgd(learning_rate)
        case StepRule.ADAM:
            return optax.adam(learning_rate, eps=1e-5)
        case StepRule.RMSPROP:
            return optax.rmsprop(learning_rate, decay=0.99, eps=1e-5)
