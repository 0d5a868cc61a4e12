"""What files of images say beside their pixels, taken out where it keeps Pillow from reading."""

import re
import zlib

JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
SIGNATURE_BYTES = 12
SCAN, PROFILE_OR_PICTURES = b"\xff\xda", b"\xff\xe2"  # markers of JPEG; the second is APP2
WANTED = (b"tRNS", b"eXIf")  # of what PNG allows a reader to pass over


def has_metadata(signature: bytes) -> bool:
    """Tell by the first ``SIGNATURE_BYTES`` of a file whether ``without_metadata`` knows it."""
    return signature.startswith((JPEG, PNG)) or signature[4:].startswith((b"ftypavif", b"ftypavis"))


def without_metadata(data: bytes) -> bytes:
    """Take out what keeps Pillow from pixels that are whole; how to turn them stays, if it can.

    That is, of JPEG: colour profiles and the index of further pictures. Of PNG: texts that are long
    or broken, profiles and the like. Of AVIF: EXIF.
    """
    if data.startswith(PNG):
        return _png(data)
    return (
        _jpeg(data) if data.startswith(JPEG) else re.sub(rb"(?s)(infe.{8})Exif", rb"\1none", data)
    )


def _png(data: bytes) -> bytes:
    kept, start = [PNG], len(PNG)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        chunk = data[start:end]
        whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
        if chunk[4:5].isupper() or (chunk[4:8] in WANTED and whole):  # capitals must be understood
            kept.append(chunk)
        start = end
    return b"".join(kept)


def _jpeg(data: bytes) -> bytes:
    kept, start = [JPEG], len(JPEG)
    while data[start : start + 1] == b"\xff" and data[start : start + 2] != SCAN:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if data[start : start + 2] != PROFILE_OR_PICTURES:
            kept.append(data[start:end])
        start = end
    return b"".join([*kept, data[start:]])
