"""Which folders are splits and which are classes: the one meaning of a folder, for every part of this package."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from daas.data.formats import EXTENSIONS
from daas.data.listing import Listing, Parts
from daas.errors import BadInput

HELD_OUT = "held out"
"""Split of a place that was named for validation: ``val`` or ``test`` if it is divided, otherwise all of it."""

IN_A_TABLE = (
    "Where the classes stand in a table or in the names of the files, docs/data.md (Labels in a table) puts the images "
    "into class folders."
)
"""What to do with images that are not sorted."""

_SYNONYMS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "validate", "eval", "evaluation", "dev", "devel", "development", "holdout"),
    "test": ("test", "testing"),
}
_ORDER = {"train": ("train",), "val": ("val", "test"), "test": ("test", "val"), HELD_OUT: ("val", "test", "train")}
"""Which kinds of folders serve for a split, the first that is there."""
_KIND = {name: kind for kind, names in _SYNONYMS.items() for name in names}
_THINGS = "sets?|data|datasets?|images?|imgs?|pics?|pictures?|photos?"
_SPLIT_WORD = re.compile(f"({'|'.join(_KIND)})(?:{_THINGS})?")
_THING = re.compile(_THINGS)


class Role(NamedTuple):
    """What a folder's name says: the kind of split, and the words that say something else (``seg`` of seg_train)."""

    kind: str
    rest: tuple[str, ...]


def role(name: str) -> Role | None:
    """The split that a folder's name says, in any case and beside words such as ``set`` or ``images``.

    >>> role("Training"), role("test_set"), role("seg_train"), role("trains")
    (Role(kind='train', rest=()), Role(kind='test', rest=()), Role(kind='train', rest=('seg',)), None)
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())
    kinds = [_KIND[match[1]] for word in words if (match := _SPLIT_WORD.fullmatch(word))]
    if len(kinds) != 1:
        return None
    rest = (word for word in words if not _SPLIT_WORD.fullmatch(word) and not _THING.fullmatch(word))
    return Role(kinds[0], tuple(rest))


def held_out(split: str) -> bool:
    """Whether a split is one to validate on."""
    known = role(split)
    return split == HELD_OUT or (known is not None and known.kind != "train")


@dataclass(frozen=True)
class Layout:
    """The images of a split.

    Attributes:
        found: Their indices in the listing, sorted by path.
        labels: One per image.
        names: Of the classes.
        held_out: Whether there are images to validate on.
        unread: What is not read in this split, by reason.
        notes: What else should be said, in sentences.
    """

    found: list[int]
    labels: list[int]
    names: tuple[str, ...]
    held_out: bool
    unread: dict[str, int]
    notes: tuple[str, ...]


def arranged(where: str, listing: Listing, split: str) -> Layout:
    """Chooses the images of a split and sorts them into classes.

    Args:
        where: The folder or archive, for messages.
        listing: What lies there.
        split: ``train``, ``val``, ``test`` or another name of a folder; ``HELD_OUT``.

    Raises:
        BadInput: No images in class folders, no such split, a training folder among classes, folders that are
            parts of a set where classes should be, a class folder that cannot be opened, or that is empty in this
            split alone.
    """
    below = {index: parts for index, parts in enumerate(listing.images) if len(parts) > 1}
    depth = _wrappers(list(below.values()))
    below = {index: parts for index, parts in below.items() if len(parts) > depth + 1}
    folders = {parts[depth] for parts in below.values()}
    splits = _splits(where, folders, {parts[depth] for parts in below.values() if len(parts) == depth + 2})
    chosen = _chosen(where, folders, splits, split)
    prefix = next(iter(below.values()), ())[:depth]
    if chosen:
        prefix = (*prefix, chosen)
        below = {index: parts for index, parts in below.items() if parts[depth] == chosen}
        prefix = _same_again(prefix, below.values())
    depth = len(prefix)
    classes = {index: parts for index, parts in below.items() if len(parts) > depth + 1}
    called = {index: composed(parts[depth]) for index, parts in classes.items()}
    names = tuple(sorted(set(called.values())))
    kind = splits[chosen].kind if chosen in splits else ""
    others = {name for name, known in splits.items() if known.kind != kind} if splits else folders if chosen else set()
    unread = _unread(listing, prefix, set(classes), others)
    if not names:
        raise BadInput(
            f"{'/'.join((where, *prefix))} holds no images in class folders. Expected CLASS/IMAGE with one folder per "
            f"class; images are {', '.join(EXTENSIONS)}.{_said(unread)}{_why(listing)}"
        )
    _refuse_parts(where, prefix, classes.values())
    _refuse_closed(where, listing, prefix)
    found = sorted(classes, key=classes.__getitem__)
    number = {name: label for label, name in enumerate(names)}
    held_out = any(known.kind != "train" for known in splits.values()) or (bool(chosen) and not splits)
    labels = [number[called[index]] for index in found]
    return Layout(found, labels, names, held_out, unread, _notes(where, listing, prefix, names))


def composed(name: str) -> str:
    """A name with its accents in one form: macOS spells an é with two characters, others with one."""
    return unicodedata.normalize("NFC", name)


def _wrappers(paths: Sequence[Parts]) -> int:
    """How many folders lie around everything but a few pictures."""
    depth = 0
    while paths and len({parts[depth] for parts in paths}) == 1:
        known = role(paths[0][depth])
        deeper = [parts for parts in paths if len(parts) > depth + 2]
        if 2 * len(deeper) <= len(paths) or (known and not known.rest):
            break
        paths, depth = deeper, depth + 1
    return depth


def _splits(where: str, folders: set[str], with_images: set[str]) -> dict[str, Role]:
    """The folders that are splits: of all of plain names, or a training folder beside one to validate on."""
    roles = {name: known for name in folders if (known := role(name))}
    plain = {name: known for name, known in roles.items() if not known.rest}
    if plain and (len(plain) == len(folders) or _whole(plain)):
        return plain
    if len(plain) == 1 and plain[(name := min(plain))].kind == "train" and name not in with_images:
        others = sorted(folders - {name})
        raise BadInput(
            f"{where}/{name} holds no images of its own, but folders of images, and lies beside "
            f"{', '.join(others[:5])}: a part of a set, or one of the classes? Where it is a part, name it: "
            f"{where}/{name}. Where it is a class, put its images directly into it."
        )
    for rest in sorted({known.rest for known in roles.values() if known.rest}):
        group = {name: known for name, known in roles.items() if known.rest == rest and name not in with_images}
        if _whole(group):
            return group
    return {}


def _whole(group: Mapping[str, Role]) -> bool:
    kinds = {known.kind for known in group.values()}
    return "train" in kinds and len(kinds) > 1


def _chosen(where: str, folders: set[str], splits: Mapping[str, Role], split: str) -> str:
    """The folder of a split, or an empty name where the images are not divided into splits."""
    kind = split if split == HELD_OUT else _KIND.get(split.casefold())
    if split in folders and (splits or kind is None):
        return split
    if kind is None:
        raise BadInput(
            f"split {split!r} of {where} is unknown: it is one of {', '.join(_KIND)}, or the name of a folder in it."
        )
    if not splits:
        if kind in ("train", HELD_OUT) or not folders:
            return ""
        raise BadInput(
            f"{where} has no folder for the {split} split. Put the images into train/CLASS/ and val/CLASS/, or name "
            "validation images with --val-dir."
        )
    for wanted in _ORDER[kind]:
        names = [name for name, known in splits.items() if known.kind == wanted]
        if names:
            return min(names, key=lambda name: (*_rank(name, _SYNONYMS[wanted]), name))
    raise BadInput(
        f"{where} has images in {', '.join(sorted(splits))} alone, and none for the {split} split. Put images into "
        f"{_SYNONYMS[_ORDER[kind][0]][0]}/CLASS/, or name validation images with --val-dir."
    )


def _rank(name: str, usual: Sequence[str]) -> tuple[int]:
    return (usual.index(name) if name in usual else len(usual),)


def _same_again(prefix: Parts, paths: Collection[Parts]) -> Parts:
    """Looks through a single folder inside a split that is called like it (seg_train/seg_train) or ``images``."""
    inner = [parts for parts in paths if len(parts) > len(prefix) + 2]
    names = {parts[len(prefix)] for parts in inner}
    most = 2 * len(inner) > len(paths)
    if most and len(names) == 1 and (role(name := names.pop()) or _THING.fullmatch(name.casefold())):
        return (*prefix, name)
    return prefix


def _refuse_parts(where: str, prefix: Parts, paths: Iterable[Parts]) -> None:
    """Refuses folders whose subfolders have the names of their sister's: these are the classes."""
    own: dict[str, set[str]] = {}
    direct = set()
    for parts in paths:
        name, *rest = parts[len(prefix) :]
        if len(rest) == 1:
            direct.add(name)
        else:
            own.setdefault(name, set()).add(rest[0])
    inner = sorted(name for name in own if name not in direct)
    for first in inner:
        if own[first] <= direct:
            here = "/".join((where, *prefix))
            raise BadInput(
                f"{here}/{first} holds no images of its own, but folders called like the classes beside it "
                f"({', '.join(sorted(own[first])[:5])}): probably a copy of the set inside itself. Move "
                "it elsewhere."
            )
        for second in inner:
            if first != second and len(own[second]) > 1 and own[first] <= own[second]:
                pair, here = " and ".join(sorted((first, second))), "/".join((where, *prefix))
                if all(role(name) for name in own[first]):
                    raise BadInput(
                        f"{here}: {pair} hold no images of their own, but each its own "
                        f"{', '.join(sorted(own[first]))}. Where {pair} are the classes, divide the other way round: "
                        "train/CLASS and val/CLASS. Where they are kinds of files (images and masks), name the folder "
                        "of the images."
                    )
                raise BadInput(
                    f"{here}: {pair} hold no images of their own, but folders of the same names "
                    f"({', '.join(sorted(own[first])[:5])}), which are probably the classes. Where {pair} are parts of "
                    f"the set, name one of them ({here}/{second}) or call them train and val; where they are the "
                    "classes, put their images directly into them."
                )


def _refuse_closed(where: str, listing: Listing, prefix: Parts) -> None:
    """Refuses a set with a class folder that cannot be opened."""
    closed = [parts for parts in listing.closed if len(parts) == len(prefix) + 1 and parts[:-1] == prefix]
    if closed:
        said = ", ".join(f"{'/'.join(parts)} ({listing.closed[parts]})" for parts in sorted(closed)[:5])
        raise BadInput(
            f"{where}: class folders that cannot be opened: {said}. Give yourself the right to read them, put folders "
            "in the place of links, or move them elsewhere."
        )


def _unread(listing: Listing, prefix: Parts, read: set[int], others: set[str]) -> dict[str, int]:
    """What lies in the split, or around all splits, and is not read, by reason; other splits are no loss."""
    found: Counter[str] = Counter()
    for parts, kind in listing.unread:
        if parts[_apart(parts, prefix)] not in others:
            found[kind] += 1
    for index, parts in enumerate(listing.images):
        if index not in read:
            apart = _apart(parts, prefix)
            if len(parts) == apart + 1:
                found["beside the class folders"] += 1
            elif parts[apart] not in others:
                found[f"in {parts[apart]}/"] += 1
    return dict(found.most_common())


def _apart(parts: Parts, prefix: Parts) -> int:
    """Where a path leaves the way to the classes."""
    pairs = enumerate(zip(parts, prefix, strict=False))
    return next((index for index, (name, usual) in pairs if name != usual), min(len(prefix), len(parts) - 1))


def _notes(where: str, listing: Listing, prefix: Parts, names: tuple[str, ...]) -> tuple[str, ...]:
    """What people should know about folders; refuses a class that is empty here and is not in another split."""
    notes = [
        f"The folder {'/'.join(parts)} could not be opened ({reason}), and nothing in it was read."
        for parts, reason in sorted(listing.closed.items())
    ]
    depth = len(prefix)
    missing: dict[str, Counter[str]] = {
        parts[depth]: Counter() for parts in listing.folders
        if len(parts) == depth + 1 and parts[:depth] == prefix and composed(parts[depth]) not in names
    }  # fmt: skip
    for parts, kind in listing.unread:
        if len(parts) > depth + 1 and parts[:depth] == prefix and parts[depth] in missing:
            missing[parts[depth]][kind] += 1
    empty = sorted(name for name, kinds in missing.items() if not kinds)
    if lost := sorted({name for parts in listing.images for name in parts[:-1]}.intersection(empty)):
        raise BadInput(
            f"{'/'.join((where, *prefix))} holds no images of {', '.join(lost[:5])}, and another split does. Put "
            "images into that class folder, or remove it."
        )
    if empty:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        notes.append(f"Without images, and therefore no class: {', '.join(empty[:5])}{more}.")
    for name, kinds in sorted(missing.items()):
        if kinds:
            notes.append(
                f"There is no class {name}: nothing in its folder can be read ({counted(kinds)}). Convert its files to "
                "JPEG or PNG, or move the folder elsewhere."
            )
    return (*notes, *_twins(names))


def _twins(names: Sequence[str]) -> list[str]:
    """Sentences about classes whose names differ in case or in spaces alone: one class, misspelled, more often."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_heard(name), []).append(name)
    notes = []
    for group in (group for group in alike.values() if len(group) > 1):
        case = len({name.casefold() for name in group}) == 1
        said = " and ".join(group if case else map(repr, group))
        what = "upper and lower case" if case else "spaces, underscores, case or the form of their letters"
        notes.append(
            f"{said} are classes whose names differ in {what} alone. If they are one class, put their images into one "
            "folder."
        )
    return notes


def _heard(name: str) -> str:
    r"""A name as it is read aloud.

    >>> _heard(" Golden_Retriever"), _heard("cat\u200b"), _heard("a-")
    ('golden retriever', 'cat', 'a-')
    """
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return " ".join(seen.replace("_", " ").casefold().split())


def counted(unread: Mapping[str, int]) -> str:
    """``12 .dng, 8 .cr2``."""
    return ", ".join(f"{count} {kind}" for kind, count in unread.items())


def unread_sentence(unread: Mapping[str, int]) -> str:
    """What was not read, in a sentence; empty where everything was.

    >>> unread_sentence({".dng": 12, "symbolic links": 1})
    '13 files were not read: 12 .dng, 1 symbolic links.'
    """
    total = sum(unread.values())
    return f"{total} file{'s were' if total > 1 else ' was'} not read: {counted(unread)}." if total else ""


def _why(listing: Listing) -> str:
    """What the files lie in that were probably meant, where that can be seen."""
    if any("\\" in parts[-1] for parts in listing.images):
        return " There are backslashes in names: an archive from Windows was unpacked wrongly. Unpack it with 7-Zip."
    if sum(kind == ".tar" for _, kind in listing.unread) > len(listing.images):
        return (
            " Name one .tar file itself; where they are shards of WebDataset, train on them through timm's reader: "
            "--dataset wds/NAME."
        )
    if {".parquet", ".arrow"} & {kind for _, kind in listing.unread}:
        return (
            " These are tables of Hugging Face's: --dataset hfds/FOLDER reads parquet, and what datasets has saved is "
            "data in Python (datasets.load_from_disk)."
        )
    return f" {IN_A_TABLE}" if listing.images else ""


def _said(unread: Mapping[str, int]) -> str:
    sentence = unread_sentence(unread)
    return f" {sentence}" if sentence else ""
