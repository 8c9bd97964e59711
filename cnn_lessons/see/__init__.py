"""What a learner looks at and touches."""

from .curve import live_curve
from .stepper import Stepper
