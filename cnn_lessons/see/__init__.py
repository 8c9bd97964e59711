"""What a learner looks at and touches."""

from .stepper import Stepper
