"""What values are functions of, and the flags that say more about it."""

import enum

from ..td.values import features as known


class Features(enum.Enum):
    """What values are functions of."""

    AGGREGATION = "aggregation"
    TILES = "tiles"
    FOURIER = "fourier"
    POLYNOMIAL = "polynomial"
    NETWORK = "network"


# Flags that say more, and the features that read them.
READ_BY = {
    "groups": ("aggregation",),
    "tiles": ("tiles",),
    "tilings": ("tiles",),
    "order": ("fourier", "polynomial"),
    "hidden_sizes": ("network",),
    "scale_steps": ("tiles", "fourier"),
}


def laid_over(
    low: tuple[float, ...], high: tuple[float, ...], kind: Features, *, count: int, tiles: int
) -> known.AbstractFeatures:
    """Features of `count` groups, of `count` tilings with so many `tiles`, or of that order."""
    match kind:
        case Features.AGGREGATION:
            return known.state_aggregation(low, high, groups=count)
        case Features.TILES:
            return known.TileCoding(low, high, tiles=tiles, tilings=count)
        case Features.FOURIER:
            return known.Fourier(low, high, order=count)
        case _:
            return known.Polynomial(low, high, degree=count)
