"""The colours of the course, safe for colour-blind readers, all in one place.

Inputs are grey, activations red to blue around 0, weights brown to green around 0, scores amber.
Lines and marks have a contrast of 3 to 1 or more on white; pale colours and amber are for areas.
"""

from collections.abc import Iterable

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#C77700", "#009E73", "#8C8C8C"
PINK, VIOLET, RED, BROWN, NAVY = "#CC79A7", "#7766FF", "#D0021B", "#553300", "#1B1464"
ACTIVATIONS, WEIGHTS, SCORES = "RdBu_r", "BrBG", "#E69F00"
NOT_FINITE = (255, 224, 0)  # a number that is NaN or infinite, among activations and weights
# As many markers as colours would repeat together; 10 and 11 make 110 different pairs.
COLOURS = (BLUE, ORANGE, GREEN, PINK, "black", VIOLET, RED, GREY, BROWN, NAVY)
MARKERS = "os^DvPX<>*p"

_given: dict[str, int] = {}


def styles(names: Iterable[str]) -> list[tuple[str, str]]:
    """The colour and the marker of each name, the same in every figure of a lesson.

    They are given in the order in which names are first met. A lesson that asks for all its names
    at the start fixes them, whatever its reader runs later.
    """
    numbers = [_given.setdefault(name, len(_given)) for name in names]
    return [(COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n in numbers]


# What a box of a drawing is: the input, a convolution, a pool, a linear layer, anything else.
INPUT, CONVOLUTION, POOL, LINEAR, OTHER = "#DDDDDD", "#CFE3F1", "#CDEBE1", "#FBE5B8", "white"
# The ground of a head at the side, and of a bubble.
HEAD, BUBBLE = "#FFF6E3", "#56B4E9"
# The colours of the stages of a chain: a stage is what has maps of one size.
STAGES = ("#CFE3F1", "#FBE5B8", "#CDEBE1", "#F3D3C7", "#E2D6EE", "#E8E8E8")
# Grounds of explorers.
PALE_BLUE, PALE_GREY = "#CFE5F2", "#DDDDDD"
