"""Files that hold images: which endings are read, which only look like it, and how one file is opened safely."""

from __future__ import annotations

import mimetypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

EXTENSIONS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".jp2", ".j2k", ".jpx", ".bmp", ".dib",
    ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".heic", ".heif",  # with pillow-heif; named as unreadable without it
)  # fmt: skip
"""Endings of files that are read, in any case."""

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "BMP", "DIB", "GIF", "TIFF", "PPM")
"""Pillow's decoders that may look at a file: none of them starts another program. MPO is a kind of JPEG."""

DRAFT_AREA = 2**25
"""Pixels above which a JPEG file is decoded at a half, a quarter or an eighth of its size."""
MAX_AREA = 2**26
"""Pixels that are decoded at most; a quarter of a gigabyte in Pillow's memory."""
MAX_ASPECT = 100
"""Of an image that is longer than this many times its shorter side, the middle is read."""

STORED_SIZE = "stored size"
"""Key of ``Image.info`` with the width and height of a JPEG file that was decoded at less."""

_ALSO_IMAGES = frozenset((
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw",
    ".raw", ".rwl", ".3fr", ".iiq", ".kdc", ".dcr", ".mrw", ".x3f", ".psd", ".psb", ".xcf", ".kra", ".tga", ".pcx",
    ".dds", ".exr", ".hdr", ".pfm", ".jxl", ".jxr", ".hdp", ".wdp", ".jng", ".mng", ".hif", ".heics", ".heifs",
    ".avifs", ".jps", ".pns", ".eps", ".ai", ".dcm", ".dicom", ".svs", ".ndpi", ".czi", ".nd2", ".lif", ".vsi",
    ".mrxs", ".scn", ".sgi", ".rgb", ".rgba", ".ras", ".nii", ".mha", ".nrrd", ".pdf", ".fits",
    ".fit", ".npy", ".npz", ".cur", ".wmf", ".emf",
    ".zip", ".rar", ".7z", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".parquet", ".arrow", ".tfrecord", ".h5",
    ".hdf5",
))  # fmt: skip
"""Endings of pictures, and of what holds them, that nothing here reads; and those that ``mimetypes`` calls images."""
_TYPES = mimetypes.MimeTypes()  # without the tables of the machine, which differ
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP", b"BM")
_OTHERS = {
    b"<svg": "an SVG drawing", b"<?xml": "XML", b"%PDF": "a PDF document", b"8BPS": "a Photoshop document",
    b"PK": "a zip archive", b"\x00\x00\x01\x00": "an icon (ICO)", b"{": "JSON text", b"%!PS": "PostScript",
    b"\x1f\x8b": "a gzip file", b"Rar!": "a rar archive", b"\xff\x0a": "JPEG XL", b"SIMPLE": "a FITS file",
    b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a NumPy array", b"PAR1": "a parquet file", b"\x80\x04": "a pickle",
}  # fmt: skip
"""What lies under the name of an image, by its first bytes."""
_FAMILY = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # brands of HEIF after "ftyp"


def ending(name: str) -> str:
    """The ending of a file's name in small letters, with its dot; empty where there is none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def unread_kind(name: str, head: bytes | None = None) -> str:
    """What to call a file that looks like an image but is not read: its ending, or an empty text for other files.

    Args:
        name: Of the file.
        head: Its first bytes; looked at where the ending is unknown.

    >>> unread_kind("IMG_0001.DNG"), unread_kind("notes.txt"), unread_kind("IMG_0002", b"GIF89a")
    ('.dng', '', 'without an ending that tells an image')
    """
    suffix = ending(name)
    if suffix in _ALSO_IMAGES:
        return suffix
    kind, packed = _TYPES.guess_type(f"x{suffix}", strict=False)
    if kind is not None and packed is None:
        return suffix if kind.startswith("image/") else ""
    return "without an ending that tells an image" if head is not None and _is_image(head) else ""


def tells_nothing(name: str) -> bool:
    """Whether only the content says what a file is."""
    return ending(name) not in _ALSO_IMAGES and _TYPES.guess_type(f"x{ending(name)}", strict=False)[0] is None


def _is_image(head: bytes) -> bool:
    return head.startswith(_MAGIC) or head[8:12] == b"WEBP" or head[4:8] == b"ftyp"


def read_image(file: BinaryIO) -> Image.Image:
    """Decodes the first picture of a file.

    JPEG files of more than ``DRAFT_AREA`` pixels are decoded at a half, a quarter or an eighth of their size.

    Args:
        file: Open, at its beginning.

    Raises:
        ValueError: More than ``MAX_AREA`` pixels, or HEIC without its plug-in; Pillow raises all kinds of errors.
    """
    try:
        image: Image.Image = Image.open(file, formats=_formats())
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has far more than {MAX_AREA // 2**20} million pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        file.seek(0)
        head = file.read(64)
        if head[4:8] != b"ftyp" or head[8:12] not in _FAMILY:
            raise ValueError(_other(head)) from error
        file.seek(0)
        image = _heif(file)
    factor = next((f for f in (1, 2, 4, 8) if image.width * image.height <= DRAFT_AREA * f * f), 8)
    if factor > 1 and image.format in ("JPEG", "MPO"):
        image.info[STORED_SIZE] = image.size
        image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))
    if image.width * image.height > MAX_AREA:
        raise ValueError(
            f"it has {image.width} x {image.height} pixels, more than {MAX_AREA // 2**20} million; make it smaller"
        )
    image.load()
    return image


@contextmanager
def without_pillows_warnings() -> Iterator[None]:
    """Keeps off the terminal what Pillow says of damaged metadata, and of sizes that are refused here.

    Entered around loops, in the thread that starts them: the filters of warnings are the process's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


def failure(error: Exception) -> str:
    """Why an image could not be read, in a line: the decoder's words, or ours where those are of its insides.

    >>> failure(ValueError("Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK"))
    'a comment or a colour profile in it unpacks to more than a megabyte; save it without'
    """
    text = str(error).strip().partition("\n")[0]
    if "MAX_TEXT" in text:
        return "a comment or a colour profile in it unpacks to more than a megabyte; save it without"
    return text or type(error).__name__


def _other(head: bytes) -> str:
    """What a file is that no decoder knows."""
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return (
            "it is a pointer of Git LFS and not the image; git lfs pull in the folder of the clone fetches all of them"
        )
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page and not the image; download it again"
    found = next((name for start, name in _OTHERS.items() if head.lstrip().startswith(start)), "")
    if not found and head[4:8] == b"ftyp":
        found = "a film"
    if found:
        return f"it is {found}, and none of {', '.join(_formats())}"
    return f"it is none of {', '.join(_formats())}, or damaged at its beginning"


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _heif(file: BinaryIO) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ValueError("HEIC files need a plug-in: pip install 'timm-daas[heic]'") from error
    found: Image.Image = HeifImageFile(file)  # type: ignore[no-untyped-call]  # its constructor has no annotations
    return found
