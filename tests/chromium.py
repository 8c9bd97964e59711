"""The browser of the system, which playwright drives: in tests, and for README's moving picture."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
MISSING = f"no browser: install one of {', '.join(NAMES)}, or name it in CHROMIUM"
