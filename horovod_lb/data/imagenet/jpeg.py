"""JPEG files: their size without decoding them, and what ImageNet has that is none of the usual kind.

The published set has one PNG named `.JPEG` and 22 JPEGs in CMYK. Both become JPEGs in RGB at quality 100
without chroma subsampling; grey ones stay as they are, and are decoded to three equal channels. A camera's
note about the orientation is not heeded, as in everybody's converters.
"""

from __future__ import annotations

import io

QUALITY = 100
_PNG = b"\x89PNG"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


def frame(data: bytes) -> tuple[int, int, int]:
    """Height, width and number of color components of the JPEG file `data`. ValueError: it is not one."""
    if data[:2] != b"\xff\xd8":
        raise ValueError(f"is not a JPEG (it begins with {data[:4]!r})")
    position = 2
    try:
        while True:
            if data[position] != 0xFF:
                raise ValueError("is a damaged JPEG")
            marker = data[position + 1]
            if marker == 0xFF:  # padding
                position += 1
            elif marker in _START_OF_FRAME:
                height = data[position + 5] << 8 | data[position + 6]
                width = data[position + 7] << 8 | data[position + 8]
                if not height or not width:
                    raise ValueError("is a JPEG without a size")
                return height, width, data[position + 9]
            elif marker in _WITHOUT_LENGTH:
                position += 2
            else:
                position += 2 + (data[position + 2] << 8 | data[position + 3])
    except IndexError:
        raise ValueError("is a JPEG that ends before its picture begins") from None


def as_jpeg(data: bytes) -> tuple[bytes, str]:
    """`data` as a grey or RGB JPEG, and what it was where it had to be converted: PNG, CMYK, else "".

    ValueError: it can be neither read nor converted.
    """
    if data[:4] == _PNG:
        return converted(data), "PNG"
    if frame(data)[2] == 4:
        return converted(data), "CMYK"
    return data, ""


def converted(data: bytes) -> bytes:
    """Any picture that Pillow reads, as a JPEG in RGB. ValueError: it cannot be decoded."""
    from PIL import Image

    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.convert("RGB").save(out, "JPEG", quality=QUALITY, subsampling=0)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be decoded ({error})") from error
    return out.getvalue()


def check(data: bytes) -> None:
    """ValueError unless the picture `data` can be decoded to its end."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            # Every coefficient is read; an eighth of the size saves most of the rest of the work.
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be decoded ({error})") from error
