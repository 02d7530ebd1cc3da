"""ZIP shards: files stored as they are, one after another, at places one can write down.

Python's zipfile would do, but seeks back for every entry and costs ten times the copying. Layout:
PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16, and 4.3.14 and 4.3.15 for as many entries as
ZIP cannot count; no ZIP64 otherwise, hence the bound in bytes.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

UNTOLD = 0xFFFF  # entries: the number is in the records of ZIP64
MOST_BYTES = 0xFFFFFFFF - 1
VERSION = 10  # 1.0: stored entries need no more
DATE = 0x21  # 1980-01-01, ZIP's first day: equal images give equal shards
BUFFER = 1 << 20  # bytes written at once
LOCAL = struct.Struct("<IHHHHHIIIHH")
CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
END = struct.Struct("<IHHHHIIH")
END_64 = struct.Struct("<IQHHIIQQQQ")
LOCATOR_64 = struct.Struct("<IIQI")
VERSION_64 = 45


class ZipShard:
    """An uncompressed ZIP file that is being written."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=BUFFER)  # noqa: SIM115 - closed by close()
        self._directory: list[bytes] = []
        self._directory_bytes = 0
        self._at = 0

    def __len__(self) -> int:
        return len(self._directory)

    def has_room(self, name: str, payload: bytes | memoryview) -> bool:
        """Whether the entry still fits."""
        entry = LOCAL.size + CENTRAL.size + 2 * len(name) + len(payload)
        end = END.size if len(self) + 1 < UNTOLD else END.size + END_64.size + LOCATOR_64.size
        return self._at + self._directory_bytes + entry + end <= MOST_BYTES

    def add(self, name: str, payload: bytes | memoryview) -> int:
        """Append an entry and return the offset of its first byte in the file."""
        encoded, size = name.encode("ascii"), len(payload)
        common = (VERSION, 0, 0, 0, DATE, zlib.crc32(payload), size, size, len(encoded))
        self._file.write(LOCAL.pack(0x04034B50, *common, 0) + encoded)
        self._file.write(payload)
        central = CENTRAL.pack(0x02014B50, VERSION, *common, 0, 0, 0, 0, 0, self._at) + encoded
        self._directory.append(central)
        self._directory_bytes += len(central)
        offset = self._at + LOCAL.size + len(encoded)
        self._at = offset + size
        return offset

    def close(self) -> None:
        """Write the directory and close the file."""
        count, size = len(self), self._directory_bytes
        ends = []
        if count >= UNTOLD:
            rest, place = END_64.size - 12, self._at + size  # bytes after the record's own length
            told = (VERSION_64, VERSION_64, 0, 0, count, count, size, self._at)
            ends = [END_64.pack(0x06064B50, rest, *told), LOCATOR_64.pack(0x07064B50, 0, place, 1)]
            count = UNTOLD
        ends.append(END.pack(0x06054B50, 0, 0, count, count, size, self._at, 0))
        with self._file:
            self._file.write(b"".join([*self._directory, *ends]))
