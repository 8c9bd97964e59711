"""The colours of the course, safe for colour-blind readers, all in one place.

Inputs are grey, activations red to blue around 0, weights brown to green around 0, scores orange.
"""

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#8C8C8C"
PINK, SKY, RED, BROWN, VIOLET = "#CC79A7", "#56B4E9", "#D55E00", "#6B4226", "#5D3A9B"
ACTIVATIONS, WEIGHTS, SCORES = "RdBu_r", "BrBG", ORANGE
NOT_FINITE = (255, 224, 0)  # a number that is NaN or infinite, among activations and weights
# What stands beside others has a colour and a marker of its own, for ten lines or classes.
COLOURS = (BLUE, ORANGE, GREEN, PINK, "black", SKY, RED, GREY, BROWN, VIOLET)
STYLES = list(zip(COLOURS, "os^DvPX<>*"))

# What a box of a drawing is: the input, a convolution, a pool, a linear layer, anything else.
INPUT, CONVOLUTION, POOL, LINEAR, OTHER = "#DDDDDD", "#CFE3F1", "#CDEBE1", "#FBE5B8", "white"
# The colours of the stages of a chain: a stage is what has maps of one size.
STAGES = ("#CFE3F1", "#FBE5B8", "#CDEBE1", "#F3D3C7", "#E2D6EE", "#E8E8E8")
# Grounds of explorers.
PALE_BLUE, PALE_GREY = "#CFE5F2", "#DDDDDD"
