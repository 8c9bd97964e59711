"""Test settings that must be in place before PyTorch is imported or a notebook's kernel starts."""

import os
from pathlib import Path

# Seconds instead of minutes, generated pictures, no network: see "Profiles" in the README.
os.environ.setdefault("CNN_LESSONS_PROFILE", "test")
# Threads that wait for one another make a busy machine many times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.answers"]


def pytest_configure(config):
    config.option.nbval_sanitize_with = Path(__file__).with_name("tests") / "nbval.cfg"
