"""Static files: names that change with what is in them, and a folder that is right at every moment."""

import gzip
import os
import re
import time
from pathlib import Path

import pytest
import zstandard

from services.gateway.static.site import KEPT_SECONDS, CircularReferenceError, Site, Versions

SOURCES = {
    "index.html": b'<link href="/web/page.css"><script src="/web/page.js"></script> <a href="/docs">API</a>',
    "web/page.js": b"import { Voice } from './voice.js'; import './elsewhere.js';",
    "web/voice.js": b"export class Voice {}",
    "web/page.css": b"body { margin: 0 }" * 200,
}


def stems(names: set[str]) -> set[str]:
    return {re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", name) for name in names}


def test_who_refers_to_a_file_says_its_versioned_name() -> None:
    files = Versions(SOURCES).files
    served = {re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", path): path for path in files}
    assert served.keys() == SOURCES.keys()
    assert f'href="/{served["web/page.css"]}"'.encode() in files["index.html"]
    assert f'src="/{served["web/page.js"]}"'.encode() in files["index.html"]
    voice = served["web/voice.js"].removeprefix("web/")
    assert files[served["web/page.js"]] == f"import {{ Voice }} from './{voice}'; import './elsewhere.js';".encode()


def test_a_change_far_below_changes_the_names_of_all_above_it_and_no_others() -> None:
    before, after = Versions(SOURCES).files, Versions({**SOURCES, "web/voice.js": b"export class Voice { }"}).files
    assert stems(before.keys() ^ after.keys()) == {"web/page.js", "web/voice.js"}
    assert before["index.html"] != after["index.html"]


def test_a_circle_of_references_is_an_error_that_names_it() -> None:
    with pytest.raises(CircularReferenceError, match=r"web/a\.js → web/b\.js → web/a\.js"):
        _ = Versions({"web/a.js": b"import './b.js'", "web/b.js": b"import './a.js'"}).files


def test_compressed_copies_are_of_the_same_content_and_only_where_they_are_smaller(tmp_path: Path) -> None:
    Site(tmp_path).write(SOURCES)
    css = next(tmp_path.glob("web/*.css"))
    assert gzip.decompress(Path(f"{css}.gz").read_bytes()) == css.read_bytes() == SOURCES["web/page.css"]
    assert zstandard.ZstdDecompressor().decompress(Path(f"{css}.zst").read_bytes()) == css.read_bytes()
    assert not list(tmp_path.glob("web/voice.*.gz"))


def test_a_file_that_did_not_change_keeps_its_time_and_so_its_etag(tmp_path: Path) -> None:
    Site(tmp_path).write(SOURCES)
    os.utime(tmp_path / "index.html", (1, 1))
    Site(tmp_path).write(SOURCES)
    assert (tmp_path / "index.html").stat().st_mtime == 1
    Site(tmp_path).write({**SOURCES, "index.html": b"another"})
    assert (tmp_path / "index.html").stat().st_mtime > 1


def test_who_has_an_older_page_open_finds_its_files_for_a_week(tmp_path: Path) -> None:
    Site(tmp_path).write(SOURCES)
    old = {file.name for file in tmp_path.glob("web/voice.*")}
    changed = {**SOURCES, "web/voice.js": b"another"}
    Site(tmp_path).write(changed)
    assert old <= {file.name for file in tmp_path.glob("web/voice.*")}
    for file in tmp_path.rglob("*"):
        os.utime(file, (time.time() - KEPT_SECONDS - 60,) * 2)
    Site(tmp_path).write(changed)
    left = {file.name for file in tmp_path.glob("web/voice.*")}
    assert len(left) == 1
    assert not left & old
    assert (tmp_path / "index.html").exists()


def test_nothing_unfinished_is_left_or_served_under_a_files_name(tmp_path: Path) -> None:
    Site(tmp_path).write(SOURCES)
    assert not [file for file in tmp_path.rglob(".*") if file.is_file()]
    assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.rglob("*.*") if file.is_file()} == {"0o644"}
