"""Train a network and measure it."""

from .checkpoint import CheckpointError
from .history import Epoch, History, Result
from .loop import cross_entropy, device, faster_precision, fit
from .measure import confusion_matrix, evaluate, predict
from .recipes import CHALLENGE, PROFILES, RECIPES, Recipe, profile
from .statistics import Difference, difference
