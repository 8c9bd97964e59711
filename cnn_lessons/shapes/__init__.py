"""What happens to a tensor on its way through a network."""

from .fields import Field, Window
from .recorder import ShapeError, on_meta, record
from .rows import Record, Row, live_taps
