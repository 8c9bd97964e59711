"""What a learner looks at and touches."""

from .curve import live_curve
from .predictions import predict, score
from .stepper import Stepper
