"""Checks for the exercises: each says whether an answer is right, and if not, what went wrong.

An exercise cell ends with a check, and the notebook shows the `Verdict` that it returns. An answer
that is still None is "not attempted yet", and no check ever stops a notebook. One file a lesson.
"""

from .common import Verdict, check_same_function
from .lenet5 import (
    check_c1_parameters,
    check_c3_parameters,
    check_fits_mnist,
    check_floor,
    check_predict,
)

__all__ = [
    "Verdict",
    "check_c1_parameters",
    "check_c3_parameters",
    "check_fits_mnist",
    "check_floor",
    "check_predict",
    "check_same_function",
]
