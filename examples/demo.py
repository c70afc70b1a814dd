"""The main job on embedded data: what is safe for scanned digits, a network and a policy for them, what they are worth.

It is one search on a part of the digits. First its screen: one training that says which augmentations change what a
digit is; mirrored, many a 9 is taken for a 6, so that nothing flips. Then a joint search of a network and a policy
among what is left. Then a race: whole trainings choose among the found policy, the screened one, the shelf and none. A
second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from daas.search.__main__ import main as search

IMAGES = 600  # of the 1,297 digits: under four minutes on two cores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="output folder")
    parser.add_argument("--images", type=int, default=IMAGES, help="digits that are used")
    options, further = parser.parse_known_args()
    start = time.monotonic()
    words = ["--preset", "demo", "--max-images", str(options.images), "--out", str(options.out), "--resume", "auto"]
    code = search([*words, *further])
    if code == 0:
        pages = (options.out / name for name in ("screen/screen.html", "report.html", "race/race.html"))
        print(f"{time.monotonic() - start:.0f} s. Pages: {', '.join(map(str, pages))}")
    return code


if __name__ == "__main__":
    sys.exit(main())
