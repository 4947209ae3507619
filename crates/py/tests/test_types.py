"""What type checkers say of the package, of a program that uses it, and of the native half's stub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import libmigrate
import pytest

HERE = Path(__file__).parent
PACKAGE = Path(libmigrate.__file__).parent
CONFIG = HERE.parent / "pyproject.toml"


def check(*command: str | Path) -> None:
    environment = {**os.environ, "MYPYPATH": str(PACKAGE.parent), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    arguments = [sys.executable, "-m", *map(str, command)]
    ended = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=HERE, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_mypy_is_content_with_the_package_and_its_users(tmp_path: Path) -> None:
    examples = sorted((HERE.parent / "examples").glob("*.py"))
    assert examples
    check("mypy", "--config-file", CONFIG, "--cache-dir", tmp_path, "-p", "libmigrate")
    # As users have it: the types come with the installed package, by its py.typed.
    check("mypy", "--config-file", CONFIG, "--cache-dir", tmp_path, HERE / "typing/consumer.py", *examples)


def test_pyright_is_content_with_the_package_and_its_users(tmp_path: Path) -> None:
    shutil.copy(HERE / "typing/consumer.py", tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(
        f'{{"extraPaths": ["{PACKAGE.parent}"], "pythonVersion": "3.10", "enableTypeIgnoreComments": true}}'
    )
    check("pyright", "--project", tmp_path)
    check("pyright", "--project", CONFIG, PACKAGE)


def test_the_stub_of_the_native_half_is_true() -> None:
    check("mypy.stubtest", "libmigrate._native", "--mypy-config-file", CONFIG)


def test_the_two_faces_have_the_same_names() -> None:
    from libmigrate import aio

    for name in ("Engine", "Replica", "Cycle", "Project"):
        blocking, awaited = getattr(libmigrate, name), getattr(aio, name)
        public = [{member for member in vars(face) if not member.startswith("_")} for face in (blocking, awaited)]
        assert public[0] == public[1], name


@pytest.mark.parametrize("name", libmigrate.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    value = getattr(libmigrate, name)
    if isinstance(value, type):
        assert value.__doc__
