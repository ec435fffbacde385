"""Request bodies: texts of several lengths, and an image that takes more than a line to make."""

import zlib

# Of very different lengths, the last one beyond what a small encoder takes.
TEXTS = [
    "Great value.",
    "The kettle boils a litre of water in three minutes, and it does so without a sound.",
    "I left the cinema before the end.",
    "rain " * 200,
]


def png_of_zeros(width: int, height: int) -> bytes:
    """A PNG of zeros that would be that large: a few kB on the wire."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes(min(10_000_000, (width // 8 + 1) * height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
