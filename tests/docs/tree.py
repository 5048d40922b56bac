"""The paths that the documents name are there, and the maps of docs/architecture.md and CONTRIBUTING.md leave no folder out."""

import re
from collections.abc import Iterator
from pathlib import Path

from documents import documents, without_blocks

TOP = ("src", "tests", "docs", "deploy", "fuzz", "grafana", "prometheus", ".github", ".ci")
# Made by the tests or by a build, and so not in the repository.
MADE = re.compile(r"fuzz/artifacts/|tests/browser/node_modules|target/")
FILE = re.compile(r"[\w.*<>/-]+(/|\.(rs|py|html|md|yml|sh|mjs|sql|json))")


def code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", without_blocks(text))


def is_there(root: Path, path: str) -> bool:
    return bool(MADE.match(path)) or any(root.glob(re.sub(r"<\w+>", "*", path.rstrip("/"))))


def paths(root: Path) -> Iterator[str]:
    checked = 0
    for document in documents(root):
        for span in code(document.read_text("utf-8")):
            # A command may stand before a path.
            for word in (word.rstrip(",.:") for word in span.split()):
                if word.startswith(tuple(f"{top}/" for top in TOP)) and re.fullmatch(r"[\w.*<>/-]+", word):
                    checked += 1
                    if not is_there(root, word):
                        yield f"{document.relative_to(root)}: there is no {word}"
    yield from maps(root)
    return f"{checked} paths"


def placeholders(root: Path) -> Iterator[str]:
    """What a figure or a table was to stand for."""
    for document in documents(root):
        for found in re.findall(r"@[A-Z0-9_]+@|<!--.*?-->", document.read_text("utf-8"), re.S):
            yield f"{document.relative_to(root)}: {found} is not filled in"
    return f"{len(documents(root))} documents without one"


def rows(text: str, heading: str) -> list[list[str]]:
    section = re.split(rf"^## {heading}$", text, flags=re.M)[1].split("\n## ")[0]
    return table(section)


def table(text: str) -> list[list[str]]:
    return [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]


def maps(root: Path) -> Iterator[str]:
    text = (root / "CONTRIBUTING.md").read_text("utf-8")
    architecture = (root / "docs/architecture.md").read_text("utf-8")
    named = set()
    for row in rows(architecture, "The map")[1:] + rows(text, "Beside the source")[1:]:
        where = code(row[0])
        folders = [word for word in where if word.endswith("/")] + [str(Path(word).parent) for word in where]
        bases = [top + folder for folder in ["", *(f"{name.rstrip('/')}/" for name in folders)] for top in ("", "src/")]
        for word in (word for word in code("|".join(row)) if FILE.fullmatch(word)):
            found = [base + word for base in bases if is_there(root, base + word)]
            named.update(found)
            if not found:
                yield f"the maps: there is no {word}"
    listed = [path for top in ("src", "src/provider") for path in (root / top).iterdir() if path.is_dir()]
    listed += [root / top for top in TOP if (root / top).is_dir()]
    for folder in (str(path.relative_to(root)) for path in listed):
        patterns = (re.sub(r"<\w+>", r"\\w+", name.rstrip("/")) for name in named)
        if not any(re.match(f"{pattern}(/|$)", folder) or pattern.startswith(f"{folder}/") for pattern in patterns):
            yield f"the maps: {folder}/ is not in them"
    tests = (root / "tests/README.md").read_text("utf-8")
    yield from modules(root, "tests/README.md", rows(tests, "What each test holds"))
    promises = (root / "docs/promises.md").read_text("utf-8")
    yield from modules(root, "docs/promises.md", table(promises))


def modules(root: Path, name: str, rows: list[list[str]]) -> Iterator[str]:
    """Words of the column of tests: modules of the suite, by their folder, or of the tests that need other programs."""
    for row in rows[1:]:
        for word in re.findall(r"`([a-z_0-9]+(?:::[a-z_0-9]+)?)`", row[1]):
            folder = "tests/suite" if "::" in word else "tests/programs"
            if not (root / folder / f"{word.replace('::', '/')}.rs").exists():
                yield f"{name}: there is no test {word}"
