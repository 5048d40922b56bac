"""Colours with a meaning: orange wants a look, red wants a hand, and what is well has no colour. Limits are those of the alert
rules."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

MINUTE, HOUR, DAY = 60, 3600, 86400

# What is not known is neither well nor bad.
UNKNOWN, NOTHING = "#6e7681", "transparent"
WELL = NOTHING
# Bands over time need a colour where all is well.
QUIET = "#6e768140"


@dataclass(frozen=True)
class Limits:
    """The colour from 0 on, and from higher values on."""

    first: str
    others: tuple[tuple[float, str], ...] = ()

    def config(self, unknown: str | None = None) -> ThresholdsConfig:
        """With a colour of its own where there is no number, unless there is always one."""
        steps = [(None, unknown), (0, self.first)] if unknown else [(None, self.first)]
        steps += self.others
        return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(*step) for step in steps])


def low_is_bad(red: float, orange: float) -> Limits:
    return Limits("red", ((red, "orange"), (orange, WELL)))


def high_is_bad(orange: float, red: float) -> Limits:
    return Limits(WELL, ((orange, "orange"), (red, "red")))


# A number that is neither good nor bad: bars have a colour, numbers and cells none.
PLAIN, COLOURLESS = Limits("blue"), Limits(NOTHING)
# PushChannelFailing calls a person below 0.7.
SUCCESS = low_is_bad(0.7, 0.9)
# Against the median of the past week: PushDeliveryRatioFell fires below 0.8, PushChannelSlow below 0.7.
DELIVERY_USUAL = low_is_bad(0.8, 0.9)
SPEED_USUAL = low_is_bad(0.7, 0.85)
ANY_IS_BAD = Limits(WELL, ((1, "red"),))
ANY_WANTS_A_LOOK = Limits(WELL, ((1, "orange"),))
ANY_IS_NEWS = Limits(WELL, ((1, "blue"),))
MUST_BE_ONE = Limits("red", ((1, WELL),))
