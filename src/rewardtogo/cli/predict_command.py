"""`rtg predict`: which flags a method has."""

from collections.abc import Sequence

from . import frame, predict_off_policy, predict_values
from .flags import require_options


METHODS = {
    **dict.fromkeys(predict_values.METHODS, predict_values.PredictValues),
    **dict.fromkeys(predict_off_policy.METHODS, predict_off_policy.PredictOffPolicy),
}
_MORE = f"""

From the policy's own steps: {", ".join(predict_values.METHODS)}. `rtg predict td0 --help` tells
their flags.

From the steps of another policy: {", ".join(predict_off_policy.METHODS)}. `rtg predict tdc --help`
tells theirs."""


def run(argv: Sequence[str]) -> int:
    """Learn with the method that is named among the words."""
    method = next((word for word in argv if word in METHODS), "td0")
    require_options(argv, METHODS[method], command=f"rtg predict {method}")
    return frame.run(METHODS[method], argv, prog="rtg predict", more=_MORE)
