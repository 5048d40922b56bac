"""What the checks of the documents share: which documents there are, and the helpers of tests/deploy and tests/grafana."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT / "tests/deploy"), str(ROOT / "tests/grafana")]


def documents(root: Path) -> list[Path]:
    """What people read: in the order in which they come to it."""
    top = [root / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    deploy = sorted((root / "deploy").rglob("*.md"))
    return [*top, *sorted((root / "docs").glob("*.md")), root / "prometheus/RUNBOOK.md", root / "tests/README.md", *deploy]


def without_blocks(text: str) -> str:
    """Without fenced code, of which nothing is a link, a heading or a table."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.M | re.S)
