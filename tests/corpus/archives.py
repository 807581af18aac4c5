"""Mutated archives and origin files by family: each is `used`, or `refused` on one line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator

from numpy.random import Generator

from tests.corpus.images import Case, Family
from tests.data.conftest import asking_for, subjects, unpacked
from tests.hostile_yaml import HOSTILE

FILES = subjects("ab", 6)
SOUND = next(iter(FILES.values()))
PACK: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": lambda tar: gzip.compress(tar, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}
EITHER = "used|refused"
OUTSIDE = ("../x/0.png", "/x/0.png", "a/../../x/0.png", "C:/x/0.png", "..\\x\\0.png", "\\x\\0.png")
ODD = (
    "",
    ".",
    "a",
    "a/",
    "a//0.png",
    "a/\n.png",
    "a/\udcff.png",
    "a/" + "n" * 300 + ".png",
    "é/0.png",
)
LONG = ("a/" + "n" * 60_000 + ".png", "d/" * 2000 + "0.png", "a/" + "n" * 70_000 + ".png")
KINDS = (*(str(number).encode() for number in range(1, 8)), b"S", b"D", b"M", b"V", b"Z", b"\xff")


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def tar_of(
    member: tarfile.TarInfo, content: bytes = SOUND, form: int = tarfile.PAX_FORMAT
) -> bytes:
    """The files, and one more member."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, each in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(each)
            archive.addfile(info, io.BytesIO(each))
        member.size = member.size or len(content)
        header = member.tobuf(form, "utf-8", "surrogateescape")
        part = header + content + bytes(-len(content) % 512)
        file.write(part)
        archive.offset += len(part)
    return file.getvalue()


def mutated(whole: bytes) -> Family:
    def cases(draw: Generator, rounds: int) -> Iterator[Case]:
        # A tar ends with two blocks of zeros; all further ones only pad it.
        end = len(whole.rstrip(b"\0"))
        enough = end + -end % 512 + 1024 if whole.endswith(bytes(1024)) else len(whole)
        yield whole, "used"  # or all that is refused would prove nothing
        for place in (0, 1, 20, len(whole) // 2, *draw.integers(len(whole), size=rounds)):
            yield whole[:place], "used" if place >= enough else "refused"
        for _ in range(6 * rounds):
            wrong = bytearray(whole)
            ends = (draw.integers(min(512, len(wrong))), -1 - draw.integers(min(200, len(wrong))))
            for place in ends[draw.integers(2) :]:
                wrong[place] ^= 1 << int(draw.integers(8))
            yield bytes(wrong), EITHER
        for _ in range(2 * rounds):
            place, length = (int(each) for each in draw.integers(len(whole), size=2))
            yield whole[:place] + whole[place : place + length % 2000] + whole[place:], EITHER
            yield whole[:place] + draw.bytes(30) + whole[place + 30 :], EITHER

    return cases


def names(draw: Generator, rounds: int) -> Iterator[Case]:
    """Members whose names lead outside, are odd, or are longer than any file's."""
    for name, expected in (
        ("a/x.png", "used"),
        *((each, "refused") for each in OUTSIDE),
        *((each, EITHER) for each in (*ODD, *LONG)),
    ):
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            yield tar_of(tarfile.TarInfo(name), form=form), expected
        if len(name) < 60_000 and "\udcff" not in name:
            yield zipped({**FILES, name or "x": SOUND}), expected
    yield from ((zipped({**FILES, name: b""}), "refused") for name in OUTSIDE)


def kinds(draw: Generator, rounds: int) -> Iterator[Case]:
    """Links, devices, pipes, sparse files and kinds that there are not."""
    yield tar_of(tarfile.TarInfo("a/x.png")), "used"
    for kind in KINDS:
        member = tarfile.TarInfo("a/x.png")
        member.type, member.linkname, member.devmajor = kind, "/etc/passwd", 1
        yield tar_of(member, form=tarfile.GNU_FORMAT), "refused" if kind in b"12346" else EITHER
    for mode in (0o120777, 0o010644, 0o020644, 0o060644, 0o140644):
        info = zipfile.ZipInfo("a/x.png")
        info.external_attr = mode << 16
        file = io.BytesIO(zipped(FILES))
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(info, "/etc/passwd")
        yield file.getvalue(), "refused"


def pax(draw: Generator, rounds: int) -> Iterator[Case]:
    """Keys of PAX headers, which take the place of what the member itself says."""
    many = {f"k{number}": "v" * 50 for number in range(5000)}
    for headers, expected in (
        ({"path": "../../x.png"}, "refused"),
        ({"linkpath": "/etc/passwd"}, "used"),
        *(({"size": size}, "refused") for size in ("9" * 400, "-1", str(2**62), "x", "1e9", "0x9")),
        *(({"mtime": time}, EITHER) for time in ("nan", "1e999", "x", "-1" * 400)),
        *(({"uid": number, "gid": number}, EITHER) for number in ("-1", "9" * 5000, "x")),
        (
            {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 30},
            EITHER,
        ),
        ({"GNU.sparse.map": "0,1," * 5000, "GNU.sparse.size": str(2**60)}, EITHER),
        ({"GNU.sparse.size": "1", "GNU.sparse.numblocks": "9" * 9}, EITHER),
        ({"hdrcharset": "BINARY", "path": "a/\udcff.png"}, EITHER),
        (many, EITHER),
    ):
        member = tarfile.TarInfo("a/x.png")
        member.pax_headers = headers
        try:
            yield tar_of(member), expected
        except UnicodeEncodeError:
            continue
    for record in (
        b"99999999 a=b\n",
        b"0 a=b\n",
        b"-5 a=b\n",
        b"7 a=b\n",
        b"x",
        b"9" * 5000,
        b"5 =\n",
    ):
        for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            member = tarfile.TarInfo("pax")
            member.type = kind
            yield tar_of(member, record, tarfile.USTAR_FORMAT), EITHER


def bombs(draw: Generator, rounds: int) -> Iterator[Case]:
    """Archives that unpack to much more than they are, or ask for much memory."""
    zeros = bytes(2**26)
    big = unpacked({**FILES, "a/big.png": zeros + b"0"})
    for pack in PACK.values():
        yield pack(big), "refused"
    yield gzip.compress(unpacked(FILES) + zeros), "refused"
    yield gzip.compress(gzip.compress(unpacked(FILES))), "refused"
    yield lzma.compress(unpacked(FILES)) + bytes(2**22), "used"
    yield from (
        (asking_for(number, lzma.compress(unpacked(FILES))), "refused") for number in (30, 38, 40)
    )
    yield zipped({**FILES, "a/big.png": zeros + b"0"}), "refused"
    yield zipped({f"a/{number}.png": b"" for number in range(5_000)}), EITHER
    yield zipped({"a/inner.zip": zipped(FILES)}), EITHER
    member = tarfile.TarInfo("a/x.png")
    member.size = 2**62
    yield tar_of(member), "refused"


def lies(draw: Generator, rounds: int) -> Iterator[Case]:
    """Zips whose directory says something else than their members."""
    whole = zipped(FILES)
    listed, end = whole.index(b"PK\1\2"), whole.rindex(b"PK\5\6")

    def changed(place: int, form: str, value: int) -> bytes:
        return whole[:place] + struct.pack(form, value) + whole[place + struct.calcsize(form) :]

    for value in (0, 1, 2**31, 2**32 - 1):
        for place in (listed + 16, listed + 20, listed + 24, listed + 42, end + 12, end + 16):
            yield changed(place, "<I", value), EITHER
    for value in (0, 1, 7, 12, 14, 2**16 - 1):
        for place in (
            listed + 6,
            listed + 8,
            listed + 10,
            listed + 28,
            listed + 30,
            end + 10,
            end + 20,
        ):
            yield changed(place, "<H", value), EITHER
    yield whole, "used"
    yield draw.bytes(5000) + whole, EITHER
    yield whole + bytes(70_000), "refused"
    yield whole[:-2] + b"\xff\xff" + draw.bytes(65_535), EITHER
    yield whole[:listed] + whole[listed:end] * 2 + whole[end:], EITHER
    yield whole[:end] + b"PK\6\6" + bytes(8) + b"\xff" * 44 + whole[end:], EITHER


def origin_files(draw: Generator, rounds: int) -> Iterator[Case]:
    """YAML that costs too much or is none, where an origin may be a file of it."""
    yield from ((text.encode(), "refused") for text, _ in HOSTILE.values())


ARCHIVES: dict[str, tuple[str, Family]] = {
    **{
        f"{suffix}, cut and bits flipped": (suffix, mutated(pack(unpacked(FILES))))
        for suffix, pack in PACK.items()
    },
    "zip, cut and bits flipped": ("zip", mutated(zipped(FILES))),
    "names": ("*", names),
    "links, devices, pipes, sparse files": ("*", kinds),
    "PAX headers": ("tar", pax),
    "archive bombs": ("*", bombs),
    "zip directories that lie": ("zip", lies),
    "origin files": ("yaml", origin_files),
}


def suffix(content: bytes) -> str:
    """That of a sound archive with these first bytes."""
    return "zip" if content.startswith(b"PK") else "tar"
