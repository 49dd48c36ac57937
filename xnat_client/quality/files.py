"""Quality records and pictures: from local folders, or from the resources of a project's sessions.

Not here: what is made of them (``report``, ``values``).
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from qc.pool import OtherJsonError, Row, UnknownRecordError, read_record
from xnat_client.errors import BadInputError, NotFoundError
from xnat_client.resources import list_files
from xnat_client.sessions import Session, list_sessions

if TYPE_CHECKING:
    from xnat_client.resources import RemoteFile
    from xnat_client.transport import Transport

RESOURCES = ("WINQC", "MRIQC")
"""Labels of the resources in which the two programs' results are kept."""

MARK = "_desc-winqc"
"""What winqc puts into the names of its files."""

_AT_ONCE = 8
_LONGEST_RECORD = 1 << 20
_LONGEST_PICTURE = 4 << 20
_MOST_REASONS = 5
_TOO_LONG = "The file is longer than 1 MiB; no record is."


@dataclass(frozen=True, slots=True)
class Found:
    """One image's record and picture.

    Attributes
    ----------
    row : Row
    thumbnail : bytes or None
        PNG.
    page : str
        Address of the image's own page, relative to the group page; or empty.
    session_id : str
        Of the server; empty for local folders.
    """

    row: Row
    thumbnail: bytes | None
    page: str
    session_id: str = ""


@dataclass
class Collection:
    """All records that were found, and what looked like one and was none.

    Names are unique among the records of one kind.

    Attributes
    ----------
    refused : list of str
        A sentence for each file that is damaged, or a record that cannot be used.
    others : int
        How many JSON files are sound and something else, such as sidecars and reports of steps.
    """

    found: list[Found] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    others: int = 0
    sessions: list[Session] = field(default_factory=list)

    def keep(self, candidates: Sequence[tuple[Found, str]]) -> None:
        """Keep records, each with its path for where its name alone does not tell it apart.

        A second record of one kind and path is refused. Names of folders are not repeated without
        need: they may hold names of people.
        """
        often = Counter((found.row.kind, found.row.name) for found, _ in candidates)
        taken: set[tuple[object, str]] = set()
        for found, path in candidates:
            row = found.row
            if often[row.kind, row.name] > 1:
                row = replace(row, name=path)
            if (row.kind, row.name) in taken:
                self.refused.append(f"{row.name}: another record of the same kind has this name.")
                continue
            taken.add((row.kind, row.name))
            self.found.append(replace(found, row=row))

    def rows_by_session(self) -> dict[str, list[Row]]:
        """Return the rows of each session by its ID, also of those without any."""
        rows: dict[str, list[Row]] = {one.session_id: [] for one in self.sessions}
        for each in self.found:
            rows[each.session_id].append(each.row)
        return rows


def digests_of(found: Iterable[Found]) -> dict[str, str]:
    """Return the digest of each image's file by the image's name.

    Empty where no record has one, or where records of several kinds have different ones: a rating
    must not be tied to a file that the rater may not have seen.
    """
    known: dict[str, set[str]] = defaultdict(set)
    for each in found:
        known[each.row.name].update({each.row.input_sha256} - {""})
    return {name: digests.pop() if len(digests) == 1 else "" for name, digests in known.items()}


def read_folders(folders: Sequence[Path], out_dir: Path) -> Collection:
    """Return the records below local folders.

    An image's name is that of its record; where several have one name, its path below the folder,
    and of several folders with as much of the folder's own path before it as tells them apart.

    Parameters
    ----------
    folders : Sequence of Path
        What lies in two of them (one is inside the other) is read once.
    out_dir : Path
        Where the group page will be: addresses of pages are relative to it.

    Raises
    ------
    BadInputError
        A folder is not there, or none of them holds a record that can be read.
    """
    if not all(folder.is_dir() for folder in folders):
        raise BadInputError("One of the folders is not there. Check the paths.")
    roots = list(dict.fromkeys(folder.resolve() for folder in folders))
    collection = Collection()
    candidates: list[tuple[Found, str]] = []
    seen: set[Path] = set()
    for root, label in zip(roots, _labels(roots), strict=True):
        for path in sorted(path for path in root.rglob("*.json") if path.is_file()):
            if path in seen:
                continue
            seen.add(path)
            try:
                row = _read_file(path)
            except OtherJsonError:
                collection.others += 1
                continue
            except UnknownRecordError as error:
                collection.refused.append(f"{path.name}: {error}")
                continue
            name = _image_name(str(PurePosixPath(label, *path.relative_to(root).parts)))
            candidates.append((_with_files(row, path, out_dir.resolve()), name))
    collection.keep(candidates)
    if not collection.found:
        raise BadInputError(
            f"There is no record of MRIQC or winqc (JSON) in these folders{nothing_but(collection)}"
        )
    return collection


def nothing_but(collection: Collection) -> str:
    """Return the end of a sentence that says that there is no record: what there is in its place.

    The first reasons only, as all may be many.
    """
    parts = []
    if collection.refused:
        count, shown = len(collection.refused), collection.refused[:_MOST_REASONS]
        more = f" (and {count - len(shown)} more)" if count > len(shown) else ""
        parts.append(f"{count} could not be read: {' '.join(shown)}{more}")
    if collection.others:
        parts.append(f"JSON files of another kind: {collection.others}.")
    return ". " + " ".join(parts) if parts else "."


def _read_file(path: Path) -> Row:
    try:
        if path.stat().st_size > _LONGEST_RECORD:
            raise UnknownRecordError(_TOO_LONG)
        content = path.read_bytes()
    except OSError as error:
        raise UnknownRecordError(f"The file cannot be opened ({error.strerror}).") from error
    return read_record(_image_name(path.name), content)


def _labels(roots: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell folders apart; nothing for a single one."""
    if len(roots) == 1:
        return [""]
    for length in range(1, max(len(root.parts) for root in roots)):
        labels = [str(PurePosixPath(*root.parts[1:][-length:])) for root in roots]
        if len(set(labels)) == len(labels):
            return labels
    return [str(PurePosixPath(*root.parts[1:])) for root in roots]


def _image_name(path: str) -> str:
    """Return an image's name from the name or path of its record."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.removesuffix('.json').replace(MARK, '')}"


def _with_files(row: Row, path: Path, out_dir: Path) -> Found:
    stem = path.name.removesuffix(".json")
    picture = path.with_name(f"{stem}_thumbnail.png")
    page = path.with_name(f"{stem}.html")
    held = picture.is_file() and picture.stat().st_size <= _LONGEST_PICTURE
    return Found(
        row,
        picture.read_bytes() if held else None,
        _address(page, out_dir) if page.is_file() else "",
    )


def _address(page: Path, out_dir: Path) -> str:
    """Return the address of a page relative to a folder; none where they share the root only.

    The group page is passed on: it must not tell how the disk of this machine is laid out, and a
    link that climbs up to the root would, and would lead nowhere elsewhere.
    """
    if Path(os.path.commonpath([page, out_dir])) == Path(page.anchor):
        return ""
    return quote(Path(os.path.relpath(page, out_dir)).as_posix(), errors="replace")


def read_project(
    transport: Transport, project_id: str, only: Iterable[str] = (), *, pictures: bool = True
) -> Collection:
    """Return the records of a project's sessions.

    Parameters
    ----------
    only : iterable of str
        Labels of sessions; all if empty.
    pictures : bool
        Whether to fetch thumbnails too.

    Raises
    ------
    NotFoundError
        A session that was named is not there.
    """
    sessions = [one for one in list_sessions(transport, project_id) if "Session" in one.xsi_type]
    wanted = set(only)
    missing = wanted - {one.label for one in sessions}
    if missing:
        raise NotFoundError(
            f"Project {project_id} has no session with {len(missing)} of the labels that were "
            "named. Check them with: winxnat search sessions"
        )
    collection = Collection()
    collection.sessions = [one for one in sessions if not wanted or one.label in wanted]
    candidates: list[tuple[Found, str]] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for part in pool.map(
            lambda session: list(_of_session(transport, session, pictures=pictures)),
            collection.sessions,
        ):
            collection.refused += [each for each in part if isinstance(each, str)]
            collection.others += sum(each is None for each in part)
            candidates += [each for each in part if isinstance(each, tuple)]
    collection.keep(candidates)
    return collection


def _of_session(
    transport: Transport, session: Session, *, pictures: bool
) -> Iterator[tuple[Found, str] | str | None]:
    """Give each record with its path; a sentence for what is damaged; None for other JSON."""
    for label in RESOURCES:
        try:
            files = {file.path: file for file in list_files(transport, session, label)}
        except NotFoundError:
            continue
        for path, file in files.items():
            if not path.endswith(".json"):
                continue
            if file.size_bytes > _LONGEST_RECORD:
                yield f"{session.label}: {PurePosixPath(path).name}: {_TOO_LONG}"
                continue
            yield _read(transport, session, file, files if pictures else {})


def _read(
    transport: Transport, session: Session, file: RemoteFile, files: Mapping[str, RemoteFile]
) -> tuple[Found, str] | str | None:
    doing = f"read a quality record of session {session.label}"
    answer = transport.request("GET", file.uri, doing=doing)
    path = PurePosixPath(file.path)
    try:
        row = read_record(f"{session.label}/{_image_name(path.name)}", answer.body)
    except OtherJsonError:
        return None
    except UnknownRecordError as error:
        return f"{session.label}: {path.name}: {error}"
    picture = files.get(str(path.with_name(f"{path.stem}_thumbnail.png")))
    thumbnail = None
    if picture is not None and picture.size_bytes <= _LONGEST_PICTURE:
        thumbnail = transport.request("GET", picture.uri, doing=doing).body
    return Found(
        row, thumbnail, "", session.session_id
    ), f"{session.label}/{_image_name(file.path)}"
