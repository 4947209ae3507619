"""Runs a program and writes what it used to a file, for src/peak_memory.rs.

measured_run.py REPORT PROGRAM [ARGUMENT...]
"""

import os
import sys
import time

report, *arguments = sys.argv[1:]
start = time.monotonic()
child = os.posix_spawnp(arguments[0], arguments, os.environ)
_, status, usage = os.wait4(child, 0)
wall = time.monotonic() - start
with open(report, "w") as file:
    file.write(
        f'{{"status": {os.waitstatus_to_exitcode(status)}, "wall": {wall}, "user": {usage.ru_utime}, '
        f'"system": {usage.ru_stime}, "peak_kib": {usage.ru_maxrss}}}'
    )
