"""CNN Lessons: LeNet-5, AlexNet, VGG, GoogLeNet and ResNet, to step through, train and take apart."""

__version__ = "0.1.0"
