"""Prints the scalars of a TensorBoard event file, one "tag step value" a line (of a picture "tag step picture width
height channels"), after checking every checksum.
Needs nothing but Python. usage: read_events.py FILE"""
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def check(data, stored, what):
    crc = crc32c(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    if masked != stored:
        sys.exit(f"checksum of {what} is wrong")


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """{field number: [values]} of a protobuf message."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            sys.exit(f"wire type {kind}")
        found.setdefault(tag >> 3, []).append(value)
    return found


data = open(sys.argv[1], "rb").read()
at, first = 0, True
while at < len(data):
    length, = struct.unpack_from("<Q", data, at)
    check(data[at:at + 8], struct.unpack_from("<I", data, at + 8)[0], "a length")
    record = data[at + 12:at + 12 + length]
    check(record, struct.unpack_from("<I", data, at + 12 + length)[0], "a record")
    at += 16 + length
    event = fields(record)
    if event[1][0] < 1e9:
        sys.exit("wall_time is no time")
    if first and event.get(3) != [b"brain.Event:2"]:
        sys.exit("the first event names no version")
    first = False
    for summary in event.get(5, []):
        for value in fields(summary).get(1, []):
            v = fields(value)
            if 4 in v:
                image = fields(v[4][0])
                png = image[4][0]
                if png[:8] != b"\x89PNG\r\n\x1a\n" or struct.unpack(">II", png[16:24]) != (image[2][0], image[1][0]):
                    sys.exit("a picture is no PNG of its size")
                print(v[1][0].decode(), event[2][0], "picture", image[2][0], image[1][0], image[3][0])
                continue
            print(v[1][0].decode(), event[2][0], "%.6g" % v[2][0])
if at != len(data) or first:
    sys.exit("the file ends inside a record")
