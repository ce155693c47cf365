"""The structure of a TIFF file: its header and the entries of its directories, as places."""

import struct
from dataclasses import dataclass

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
         17: 8, 18: 8}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """An entry of a directory.

    Attributes:
        place: Its first byte.
        tag: Its tag.
        kind: Its type.
        count: Its number of values.
        values: First byte of its values.
        size: Bytes of its values.
    """

    place: int
    tag: int
    kind: int
    count: int
    values: int
    size: int


@dataclass(frozen=True)
class Layout:
    """Where things lie in a TIFF file.

    Attributes:
        order: `<` or `>`.
        big: Whether it is a BigTIFF, with offsets of 8 bytes.
        entries: Of all directories.
        directories: First byte of each.
    """

    order: str
    big: bool
    entries: tuple[Entry, ...]
    directories: tuple[int, ...]

    @property
    def word(self):
        """Format and bytes of an offset."""
        return (f"{self.order}Q", 8) if self.big else (f"{self.order}I", 4)


def layout(content):
    """Read the layout of a sound file."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    word, width = (f"{order}Q", 8) if big else (f"{order}I", 4)
    (place,) = struct.unpack_from(word, content, 8 if big else 4)
    entries, directories = [], []
    while place and place not in directories:
        directories.append(place)
        (number,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", content, place)
        place += 8 if big else 2
        for _ in range(number):
            tag, kind = struct.unpack_from(f"{order}HH", content, place)
            (count,) = struct.unpack_from(word, content, place + 4)
            size, values = SIZES.get(kind, 1) * count, place + 4 + width
            if size > width:
                (values,) = struct.unpack_from(word, content, values)
            entries.append(Entry(place, tag, kind, count, values, size))
            place += 4 + 2 * width
        (place,) = struct.unpack_from(word, content, place)
    return Layout(order, big, tuple(entries), tuple(directories))
