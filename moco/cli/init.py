"""Write a commented study and a profile to begin with into a folder."""

import argparse
import shutil
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="default: this one")


def run(options: argparse.Namespace) -> None:
    """Write both, or nothing where one of them exists."""
    from moco.errors import RequestError
    from moco.project import project

    source = project() / "config/init"
    files = {
        source / "study.yaml": options.folder / "study.yaml",
        source / "profile.yaml": options.folder / "profile/profile.yaml",
    }
    for target in files.values():
        if target.exists():
            raise RequestError("exists already", where=str(target), remedy="name another folder, or move it away")
    for template, target in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(template, target)
        print(f"wrote {target}")
    folder = "" if options.folder == Path() else f"cd {options.folder}; "
    print(f"next: {folder}moco check study.yaml; moco plan study.yaml; moco run study.yaml -- --profile profile")
