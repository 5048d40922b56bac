"""Whether queries are valid, by promtool."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import told


def invalid(queries: list[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queries.yml"
        # All at once; if one is wrong, one by one, since the message names a line of a file that nobody has.
        for several in [queries, *([query] for query in queries)]:
            rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(several)]
            path.write_text(json.dumps({"groups": [{"name": "q", "rules": rules}]}), "utf-8")
            good, said = told("promtool", "check", "rules", path)
            if good and several is queries:
                return
            if not good and several is not queries:
                yield f"no valid query: {several[0]}\n{said}"
