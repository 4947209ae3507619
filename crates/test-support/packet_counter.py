"""Counts the packets that are sent over this network namespace's loopback, by the address they are sent to.

Says "ready" once it counts. Answers each line, an address, with the count so far; ends with its input.

A packet is counted as it is sent, before the sender's own call returns: what was sent before a question is in
the answer to it. Nothing is counted twice, as by a capture that sees loopback's packets come in as well.
"""

import ipaddress
import select
import socket
import struct
import sys

ALL_PROTOCOLS = 3
PACKET_STATISTICS = 6
SOL_PACKET = 263
SO_RCVBUFFORCE = 33
# Room for a second of a fast loopback: each packet there is up to 64 KiB, and is held whole.
ROOM = 256 << 20

capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
try:
    # Beyond the system's limit, as whoever made the namespace may.
    capture.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
except PermissionError:
    capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
capture.bind(("lo", ALL_PROTOCOLS))
capture.setblocking(False)
counts = {}


def take():
    """Counts what has been captured."""
    while True:
        try:
            packet, (_, _, direction, _, _) = capture.recvfrom(64)
        except BlockingIOError:
            return
        if direction != socket.PACKET_OUTGOING or not packet:
            continue
        address = {4: packet[16:20], 6: packet[24:40]}.get(packet[0] >> 4)
        counts[address] = counts.get(address, 0) + 1


def check():
    """Ends rather than count too few."""
    _, dropped = struct.unpack("II", capture.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    if dropped:
        sys.exit(f"{dropped} packets were too many to be counted")


print("ready", flush=True)
while True:
    readable, _, _ = select.select([capture, sys.stdin], [], [])
    take()
    if sys.stdin in readable:
        question = sys.stdin.readline()
        if not question:
            break
        take()
        check()
        print(counts.get(ipaddress.ip_address(question.strip()).packed, 0), flush=True)
