"""The links of the documents: every relative one leads to a file that is there, every anchor to a heading of it. Every
picture of docs/ is shown somewhere, and every document can be reached from README.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from documents import documents, without_blocks

from runbook import anchors

LINK = re.compile(r"\]\(([^)\s]+)\)")
# An anchor that is written out.
NAMED = re.compile(r'<a id="([^"]+)"')


def targets(path: Path) -> list[str]:
    text = without_blocks(path.read_text("utf-8"))
    return LINK.findall(re.sub(r"`[^`\n]*`", "", text))


def headings(path: Path) -> set[str]:
    """As GitHub names them: of several equal ones the later have numbers."""
    text, found = path.read_text("utf-8"), set()
    for anchor in anchors(re.sub(r"\]\([^)]*\)", "]", text)):
        number = next(number for number in range(100) if (f"{anchor}-{number}" if number else anchor) not in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return found | set(NAMED.findall(text))


def links(root: Path) -> Iterator[str]:
    checked, reached = 0, set()
    for path in documents(root):
        for link in targets(path):
            if re.match(r"[a-z]+:", link):
                continue
            checked += 1
            place, _, anchor = unquote(link).partition("#")
            target = (path.parent / place).resolve() if place else path
            name = path.relative_to(root)
            if not target.is_relative_to(root) or not target.exists():
                yield f"{name}: {link} leads nowhere"
                continue
            reached.add(target)
            if anchor and (target.suffix != ".md" or anchor not in headings(target)):
                yield f"{name}: {link}: there is no such heading"
    for picture in sorted((root / "docs").glob("*.png")):
        if picture not in reached:
            yield f"{picture.relative_to(root)} is shown nowhere"
    yield from unreached(root)
    return f"{checked} links in {len(documents(root))} documents"


def unreached(root: Path) -> Iterator[str]:
    readme = root / "README.md"
    known, waiting = {readme}, [readme]
    while waiting:
        path = waiting.pop()
        for link in targets(path):
            target = (path.parent / unquote(link).partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in known:
                known.add(target)
                waiting.append(target)
    for path in documents(root):
        if path.resolve() not in known:
            yield f"{path.relative_to(root)} cannot be reached from README.md"
