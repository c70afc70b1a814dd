"""``python -m examples.gallery``: docs/gallery.md, every shipped policy, cell and a schedule drawn, a screen, a report.

Pictures, draws, screen and search are seeded: a second call writes the same files.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import daas
from daas.augment import DAASPolicy, PolicySchedule, Segment, find_policy
from daas.augment.grid import grid
from daas.files import write_text
from daas.models.drawing import genotype_svg
from daas.models.zoo import find_genotype, list_genotypes
from examples.gallery.scenes import SCENES, picture
from examples.gallery.sided import write_photographs

DOCS = Path(__file__).parents[2] / "docs"
_SIDE, _GAP = 160, 10
_HEAD = """# Gallery

What do the shipped policies do to a picture, and what do the published cells look like? `make gallery` makes this page:
the eight pictures are made of noise and light by `examples/gallery/scenes.py`, and the draws are seeded.

Pictures of your own: `daas augment show autoaugment_imagenet --images my_photos --out policy.png`.
A cell: `daas models --draw darts_v2 cell.svg`.
"""
_SCHEDULE = """
## A schedule over the epochs of a training

RandAugment, from a fifth of its strength to all of it
([`Policy.scaled` and `PolicySchedule`](policies.md)): the same draws in five epochs of 200.

![Eight pictures in five epochs](gallery/schedule.webp)
"""
_REPORTS = """
## What a screen says

[The page of `daas screen --data-dir photos`](gallery/screen.html): 300 photographs of balls in a light that
comes from the left, from the right or from above, made by `examples/gallery/sided.py`; half of them are asked about.

## The report of a search

[The report of `daas search --preset demo --dataset digits --seed 0`](gallery/report.html), as the search wrote it, and
[the page of its race](gallery/race.html).
"""


def scenes(side: int = _SIDE) -> list[Tensor]:
    """The eight pictures, [3, side, side] uint8 each."""
    images = [picture(number).resize((side, side), Image.Resampling.LANCZOS) for number in range(len(SCENES))]
    return [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]


def example_schedule() -> PolicySchedule:
    """From a fifth of a policy's strength to all of it."""
    policy = find_policy("randaugment")
    segments = (Segment(40 * step, policy.scaled((step + 1) / 5)) for step in range(5))
    return PolicySchedule("growing", "randaugment at 0.2 to 1.0 of its strength", 200, tuple(segments))


def schedule_picture(schedule: PolicySchedule, images: list[Tensor]) -> Image.Image:
    """Draws a schedule: a row per epoch in which its policy changes, a column per picture, the same draws in all."""
    step, font = _SIDE + _GAP, ImageFont.load_default(14)
    canvas = Image.new("RGB", (len(images) * step + _GAP, len(schedule.segments) * (step + 20) + _GAP), "white")
    pen = ImageDraw.Draw(canvas)
    for row, segment in enumerate(schedule.segments):
        transform = DAASPolicy(schedule.at(segment.start))
        changed = transform.apply(torch.stack(images), transform.sample(len(images), torch.Generator().manual_seed(1)))
        top = _GAP + row * (step + 20)
        pen.text((_GAP, top), f"epoch {segment.start}: {segment.policy.name}", "black", font)
        for column, image in enumerate(changed):
            canvas.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (_GAP + column * step, top + 20))
    return canvas


def write(docs: Path, run: Path | None) -> None:
    """Writes the page and its pictures.

    Args:
        docs: Folder of the documentation.
        run: Where screen and search are, or will be; None leaves their pages as they are.
    """
    folder, page, images = docs / "gallery", [_HEAD], scenes()
    folder.mkdir(parents=True, exist_ok=True)
    page.append("## Policies\n")
    for name in daas.list_policies():
        policy = find_policy(name)
        grid(policy, images, columns=5, seed=0).save(folder / f"{name}.webp", quality=80)
        page.append(f"### {name}\n\n{policy.source}\n\n![{name} on eight pictures](gallery/{name}.webp)\n")
    page.append(_SCHEDULE)
    schedule_picture(example_schedule(), images).save(folder / "schedule.webp", quality=80)
    page.append("\n## Cells\n")
    for name in list_genotypes():
        genotype = find_genotype(name)
        write_text(folder / f"{name}.svg", genotype_svg(genotype))
        page.append(f"### {name}\n\n{genotype.source}\n\n![Cells of {name}](gallery/{name}.svg)\n")
    page.append(_REPORTS)
    write_text(docs / "gallery.md", "\n".join(page))
    if run is not None:
        for name in _pages(run):
            shutil.copyfile(name, folder / name.name)


def _pages(run: Path) -> list[Path]:
    """The pages of a screen, a search and its race; what is there is not done again."""
    screen, search = run / "screen", run / "search"
    if not (screen / "screen.html").is_file():
        daas.screen(write_photographs(run / "photos"), out=screen, resume="auto")
    if not (search / "report.html").is_file():
        daas.search("digits", preset="demo", seed=0, out=search, resume="auto")
    return [screen / "screen.html", search / "report.html", search / "race" / "race.html"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder to write gallery.md and gallery/ to")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/gallery"), help="of screen and search; made where absent"
    )
    parser.add_argument("--no-report", action="store_true", help="leave their pages as they are, and do neither")
    options = parser.parse_args()
    write(options.docs, None if options.no_report else options.run)


if __name__ == "__main__":
    main()
