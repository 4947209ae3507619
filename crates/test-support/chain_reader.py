"""Writes the disk that an image and its parents hold to a file, as an independent library reads it.

Usage: chain_reader.py LIBRARY OUTPUT IMAGE [PARENT ...], child first; LIBRARY is libvhdi, libvmdk
or dissect.
"""

import sys
from pathlib import Path

PIECE = 1 << 20


def opened(library, paths):
    """The disk as a file object, and its size."""
    if library == "libvhdi":
        import pyvhdi

        files = []
        for path in paths:
            file = pyvhdi.file()
            file.open(path)
            files.append(file)
        for child, parent in zip(files, files[1:]):
            child.set_parent(parent)
        return files, files[0], files[0].get_media_size()
    if library == "libvmdk":
        import pyvmdk

        handles = []
        for path in paths:
            handle = pyvmdk.handle()
            handle.open(path)
            handle.open_extent_data_files()
            handles.append(handle)
        for child, parent in zip(handles, handles[1:]):
            child.set_parent(parent)
        return handles, handles[0], handles[0].get_media_size()
    if library == "dissect":
        from dissect.hypervisor.disk.vmdk import VMDK

        disk = VMDK([Path(path) for path in paths])
        return [disk], disk, disk.size
    raise SystemExit(f"unknown library {library}")


def main(library, output, *paths):
    keep, disk, size = opened(library, paths)
    with open(output, "wb") as out:
        disk.seek(0)
        left = size
        while left:
            piece = disk.read(min(PIECE, left))
            if not piece:
                raise SystemExit(f"{paths[0]} ends {left} bytes early")
            out.write(piece)
            left -= len(piece)
    del keep


main(*sys.argv[1:])
