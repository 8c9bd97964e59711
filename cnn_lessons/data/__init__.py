"""The pictures: CIFAR-10 in memory, or generated ones where CIFAR-10 cannot be had."""

from .archive import DataError, fetch, load, read_folder
from .batches import CLASS_NAMES, Batches, Dataset, Split, channel_statistics
from .drawn import ship
from .generated import generate
from .pictures import read_picture
from .written import digits, write_digit
