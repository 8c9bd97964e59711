"""CNN Lessons: the five classic convolutional networks, to step through, train and take apart."""

__version__ = "0.1.0"
