"""Make the moving picture of the README from a real page: `python -m docs.moving_picture`.

It steps through LeNet-5 in a headless Chromium. `make test-site` installs what this needs.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from docs.site import REPOSITORY, write_stepper
from tests.chromium import CHROMIUM

PLACE = REPOSITORY / "docs" / "stepper.gif"
SIZE = {"width": 960, "height": 860}
MILLISECONDS = 1500  # a step is shown


def frames(page: Page) -> list[Image.Image]:
    """A picture of each step, from the first to the last."""
    taken = []
    for _ in range(page.locator("#steps li").count()):
        taken.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        page.keyboard.press("ArrowDown")
    return taken


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_stepper("LeNet5", Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.goto((Path(folder) / "LeNet5.html").as_uri())
        page.locator("#steps").focus()
        taken = frames(page)
        browser.close()
    # One palette for all, so that nothing flickers.
    palette = Image.fromarray(np.concatenate(taken)).quantize()
    first, *others = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in taken]
    first.save(PLACE, save_all=True, append_images=others, duration=MILLISECONDS, loop=0)
    print(f"{PLACE}: {len(taken)} frames, {PLACE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
