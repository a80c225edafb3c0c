"""Over what errors of prediction are averaged."""

import enum


class Averaging(enum.Enum):
    """Over what an error is averaged: all states alike, or all steps, so that each counts by μ."""

    STATES = "states"
    STEPS = "steps"
