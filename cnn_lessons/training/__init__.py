"""Train a network and measure it."""

from .by_hand import batch_step, kernel_step
from .checkpoint import CheckpointError
from .history import Epoch, History, Result
from .loop import device, fit, sgd
from .measure import confusion_matrix, evaluate, predict
from .precision import cross_entropy, faster_precision
from .recipes import CHALLENGE, PROFILES, RECIPES, Recipe, profile
from .statistics import Difference, difference
