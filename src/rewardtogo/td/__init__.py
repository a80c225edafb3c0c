"""What do single steps teach? Prediction and control, in tables and with features."""

from .control.certainty_equivalence import CertaintyEquivalence as CertaintyEquivalence
from .control.dyna import DynaQ as DynaQ, DynaQPlus as DynaQPlus
from .control.linear_run import LinearControl as LinearControl, linear_control as linear_control
from .control.one_step import (
    DoubleQLearning as DoubleQLearning,
    ExpectedSarsa as ExpectedSarsa,
    QLearning as QLearning,
    Sarsa as Sarsa,
)
from .control.run import ControlResult as ControlResult, control as control
from .off_policy.exact import OffPolicyCase as OffPolicyCase
from .off_policy.methods import (
    GTD2 as GTD2,
    TDC as TDC,
    EmphaticTD as EmphaticTD,
    OffPolicyTD as OffPolicyTD,
)
from .off_policy.run import (
    OffPolicyPrediction as OffPolicyPrediction,
    off_policy_prediction as off_policy_prediction,
)
from .prediction.averaging import Averaging as Averaging
from .prediction.environment_run import (
    EnvironmentPrediction as EnvironmentPrediction,
    LinearFunction as LinearFunction,
    NetworkFunction as NetworkFunction,
    predict_environment as predict_environment,
)
from .prediction.fixed_policy import (
    FixedPolicyEnvironment as FixedPolicyEnvironment,
    returns_from as returns_from,
)
from .prediction.monte_carlo import MonteCarlo as MonteCarlo, Visits as Visits
from .prediction.n_step import NStepTD as NStepTD
from .prediction.one_step import TD0 as TD0
from .prediction.run import Prediction as Prediction, predict as predict
from .prediction.traces import TDLambda as TDLambda, Trace as Trace
from .steps.exploration import (
    BoltzmannExploration as BoltzmannExploration,
    EpsilonGreedyExploration as EpsilonGreedyExploration,
)
from .steps.models import Frequencies as Frequencies, LastOutcome as LastOutcome
from .steps.step_sizes import (
    ConstantStepSize as ConstantStepSize,
    PolynomialStepSize as PolynomialStepSize,
)
from .values import features as features
from .values.fixed_points import (
    monte_carlo_projection as monte_carlo_projection,
    on_policy_distribution as on_policy_distribution,
    td_fixed_point as td_fixed_point,
)
from .values.observations import state_observations as state_observations
from .values.state_values import linear_values as linear_values, network_values as network_values
