"""The workflow travels in the wheel as it lies in the repository: below `moco/project`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithWorkflow(build_py):
    """Copies the workflow's files, which an editable installation reads where they are."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "moco/project")
        for name in ("workflow", "config", "profiles"):
            shutil.copytree(name, target / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("test"))
        shutil.copy("Snakefile", target)


setup(cmdclass={"build_py": BuildWithWorkflow})
