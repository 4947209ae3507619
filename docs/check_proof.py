#!/usr/bin/env python3
"""Checks a VHD against the proof of a recovery point (docs/proof.md): pip install blake3

Usage: check_proof.py PROOF VHD [ROOT]. With ROOT, which you have from elsewhere, the proof itself is proved too.
Exit code 0: every byte of the disk is as sealed, and the footer is that of this disk. 1: it is not, and why.
"""
import json, os, sys, uuid

from blake3 import blake3


def need(holds, otherwise):
    if not holds:
        sys.exit(f"FAILED: {otherwise}")


def take(file, size, limit, what):
    data = file.read(size) if 0 <= size <= limit else b""
    need(len(data) == size, f"the proof is damaged: {what} is cut short or too long")
    return data


def blocks(proof, parts, count):
    """The digest of each block, None for zeros; the parts are checked and read one at a time."""
    for number, expected in enumerate(parts):
        part = take(proof, int.from_bytes(take(proof, 4, 4, "a length"), "little"), 2 << 20, f"part {number}")
        need(blake3(part).hexdigest() == expected, f"the proof is damaged: part {number} has another hash")
        at = 0
        while at < len(part):  # runs: what (1 zeros, 2 data), how many blocks, for data their digests
            kind, run = part[at], int.from_bytes(part[at + 1 : at + 5], "little")
            need(kind in (1, 2) and 0 < run <= count, f"part {number} makes no sense")
            at, count = at + 5, count - run
            for _ in range(run):
                yield part[at : at + 16] if kind == 2 else None
                at += 16 if kind == 2 else 0
    need(count == 0 and not proof.read(1), "the proof has too few blocks, or bytes after its end")


def main(proof_path, vhd_path, root=None):
    with open(proof_path, "rb") as proof, open(vhd_path, "rb") as vhd:
        need(proof.read(19) == b"libmigrate-proof 1\n", "this is no proof that this script knows")
        header = json.loads(proof.readline(65536))
        point = header["recovery_point"]
        text = take(proof, header["manifest_bytes"], 4 << 20, "the manifest")
        need(blake3(text).hexdigest() == point["root"] == (root or point["root"]), "the manifest has another root")
        manifest = json.loads(text)
        disk, size = manifest["disk_bytes"], manifest["block_bytes"]
        found = os.path.getsize(vhd_path)
        need(found == disk + 512, f"the VHD has {found} bytes, not {disk} and a footer of 512")
        differing, at, zeros = [], 0, bytes(size)
        for digest in blocks(proof, manifest["parts"], disk // size):
            data = vhd.read(size)
            if data != zeros if digest is None else blake3(data).digest(16) != digest:
                differing.append(at)
                need(len(differing) < 10, f"the disk differs in the blocks of {size} bytes at {differing}, or more")
            at += size
        need(not differing, f"the disk differs in the blocks of {size} bytes at {differing}")
        footer = vhd.read(512)
        right = (b"conectix", disk, 2, uuid.UUID(point["replication"]).bytes, ~sum(footer[:64] + footer[68:]) & 0xFFFFFFFF)
        number = [int.from_bytes(footer[a:b], "big") for a, b in ((48, 56), (60, 64), (64, 68))]
        need((footer[:8], *number[:2], footer[68:84], number[2]) == right, f"the footer at {disk} differs")
        print(f"equal: all {disk} bytes of cycle {point['cycle']}, root {point['root']}")


if __name__ == "__main__":
    try:
        need(len(sys.argv) in (3, 4), __doc__)
        main(*sys.argv[1:])
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        need(False, f"{type(error).__name__}: {error}")
