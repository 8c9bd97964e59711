"""Checks for the exercises: each says whether an answer is right, and if not, what went wrong.

An exercise cell ends with a check, and the notebook shows the `Verdict` that it returns. An answer
that is still None is "not attempted yet", and no check ever stops a notebook. One file a lesson;
`common`, `trying` and `comparing` are what they share.
"""

# ruff: noqa: I001
# fmt: off
from .alexnet import (
    check_colour_shift, check_dropout_place, check_grouped_parameters, check_groups,
    check_half_width, check_lrn, check_sizes_at_96,
)
from .challenge import challenge
from .common import Verdict
from .compare import (
    check_budget, check_cost_at_224, check_ensemble, check_head_shares, check_paired,
    check_standard_error,
)
from .comparing import check_same_function
from .googlenet import (
    check_aux_head, check_decay, check_first_loss, check_inception, check_module_weights,
    check_rows, check_separable, check_smallest,
)
from .lenet5 import (
    check_batch_step, check_c1_parameters, check_c3_parameters, check_fits_mnist, check_floor,
    check_lenet5, check_names,
)
from .resnet import (
    check_bottleneck, check_option_a, check_projection_cost, check_quiet_start, check_repaired,
    check_residual_block, check_weight_layers,
)
from .speed import (
    check_crops, check_first_lost, check_overall, check_seconds_to, check_step_macs,
)
from .start import (
    check_conv2d, check_cost, check_horizontal_edges, check_kernel_step, check_pooling,
    check_receptive_field, check_separator, check_sizes,
)
from .vgg import (
    check_build, check_column_e, check_convolutions, check_fc6_weights, check_global_pooling,
    check_he_std, check_stack_weights, check_where_it_dies,
)
