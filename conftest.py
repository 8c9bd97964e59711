"""Test settings that must be in place before a notebook's kernel starts."""

import os

# Seconds instead of minutes, generated pictures, no network: see "Profiles" in the README.
os.environ.setdefault("CNN_LESSONS_PROFILE", "test")
