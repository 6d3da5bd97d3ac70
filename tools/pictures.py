"""Draws the pictures of README and docs from real runs, into docs/pictures: `make pictures`.

Each is what the command line writes; the same seed gives the same file, so `git diff` shows what a change has changed.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYNFIN = Path(sys.executable).parent / "synfin"
LANGUAGES = ("en", "zh")

# Name of the picture, and the arguments that draw it.
PICTURES = {
    "whole-life": ["demo", "whole-life"],
    "states": ["states"],
}


def draw(folder: Path) -> list[Path]:
    """Draw all of them in both languages into `folder`; returns the files."""
    drawn = []
    for name, arguments in PICTURES.items():
        for lang in LANGUAGES:
            path = folder / f"{name}.{lang}.svg"
            command = [SYNFIN, *arguments, "--lang", lang, "--svg", path]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            drawn.append(path)
    return drawn


def main() -> int:
    """Draw them where the documents look for them; returns the exit status."""
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    for path in draw(folder):
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
