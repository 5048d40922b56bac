"""docs/configuration.md: every key that the source reads and every flag of the command line is in its tables, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

from tree import code, rows

# A key by itself, or with what is in it: `messages: {files: […]}`.
KEY = re.compile(r"([a-z_]+)(?:: \{([a-z_]+): [^}]*\})?")
READ = re.compile(r'(?:\w+\.\w+|\bkey)\((?:section, )?"([a-z_]+)"')


def read(root: Path) -> set[str]:
    """The keys in the source, without tests; of a secret only the name without `_file`."""
    files = [root / "src/provider/config.rs", root / "src/provider/message_config.rs", *(root / "src/provider").glob("*/config.rs")]
    found = set()
    for path in files:
        found |= set(READ.findall(path.read_text("utf-8").split("#[cfg(test)]")[0]))
    return {key for key in found if key.removesuffix("_file") not in found - {key}}


def settings(root: Path) -> Iterator[str]:
    text = (root / "docs/configuration.md").read_text("utf-8")
    spans = [span for row in rows(text, "Every key")[1:] for span in code(row[0])]
    listed = {word for span in spans for word in KEY.fullmatch(span).groups() if word}
    # The parts of a step of the schedule stand in its row.
    section = re.split(r"^## Every key$", text, flags=re.M)[1].split("\n## ")[0]
    described = set(re.findall(r"\b(until|every)\b", section))
    for key in sorted(read(root) - listed - described):
        yield f"the key {key} is not in the table"
    for key in sorted(listed - read(root)):
        yield f"{key} is no key"
    flags = set(re.findall(r'long = "([\w.-]+)"', (root / "src/commands/cli.rs").read_text("utf-8")))
    told = {span.removeprefix("--") for row in rows(text, "Flags")[1:] for span in code(row[0])}
    for flag in sorted(flags ^ told):
        yield f"--{flag} {'is not in the table' if flag in flags else 'is no flag'}"
    return f"{len(listed)} keys, {len(told)} flags"
