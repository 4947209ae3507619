"""Every block of the guide's page on Python runs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from conftest import MIB, disk_of, run_python

REPOSITORY = Path(os.environ.get("LIBMIGRATE_REPOSITORY", Path(__file__).parents[3]))


@pytest.mark.skipif(sys.version_info < (3, 10), reason="one block shows pattern matching")
def test_the_blocks_of_the_guide_run_in_order(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    (tmp_path / "web01.raw").write_bytes(disk_of(4 * MIB))
    begin = "import os, sys, warnings; os.chdir(sys.argv[1]); warnings.simplefilter('ignore', ResourceWarning)\n"
    ended = run_python(begin + "\n".join(blocks), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "initial 4194304" in ended.stdout and "source.open caller False" in ended.stdout
