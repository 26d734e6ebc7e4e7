"""The pages of the documentation."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def pages() -> list[str]:
    """Their paths, found without git: a checkout may be an archive, and git need not be installed."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "var"]
    files = [*ROOT.glob("*.md"), *(file for folder in folders for file in folder.rglob("*.md"))]
    return sorted(str(file.relative_to(ROOT)) for file in files)
