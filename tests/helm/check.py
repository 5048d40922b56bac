"""Checks deploy/helm/push-exporter. Prints what was checked, a line each; then what is wrong; exit code 1 if something is.
Helm is installed into target/helm the first time. Needs npm, openssl, prometheus with promtool, unshare and mount, and
namespaces of its own. PUSH_EXPORTER_BINARY is the exporter (target/debug/push-exporter)."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
# How a check is run and what it says is the same there.
sys.path.append(str(HERE.parent / "deploy"))

import chart as charts
import common
import monitoring
import objects
import pod
import refused
from tools import Rendered, helms, render

PROGRAMS = ["npm", "openssl", "prometheus", "promtool", "unshare", "mount"]


def readme(chart: Path) -> str:
    """The example of the chart's README."""
    blocks = re.findall(r"`values\.yaml`:\n\n```yaml\n(.*?)```", (chart / "README.md").read_text("utf-8"), re.S)
    if len(blocks) != 1:
        raise ValueError(f"README.md has {len(blocks)} examples of values")
    return blocks[0]


def each(sets: list[Rendered], check: Callable[[Rendered], Iterator[str]], said: str) -> Iterator[str]:
    for rendered in sets:
        yield from check(rendered)
    return f"{said} ({', '.join(rendered.name for rendered in sets)})"


def sizes(chart: Path, sets: list[Rendered]) -> Iterator[str]:
    largest = max(objects.stored(chart, rendered) for rendered in sets)
    if largest > objects.STORED * 3 // 4:
        yield f"a release takes {largest} bytes of a Secret, which may have {objects.STORED}"
    return f"a release takes {largest // 1024} KiB of the {objects.STORED // 1024} that a Secret may have"


def long_names(chart: Path, values: Path) -> Iterator[str]:
    for release in ("a" * 53, "push-exporter-" + "b" * 39):
        rendered = Rendered("long names", values, render(helms()[-1], chart, values, release))
        yield from objects.names(rendered)
        yield from objects.references(rendered)
    return "releases with names of 53 characters"


def ruled(root: Path, sets: list[Rendered]) -> Iterator[str]:
    counts = []
    for rendered in sets:
        counts.append((yield from monitoring.rules(root, rendered)))
    return f"those of prometheus/rules, which promtool takes: {', '.join(map(str, counts))}"


def boards(root: Path, sets: list[Rendered]) -> Iterator[str]:
    counts = []
    for rendered in sets:
        counts.append((yield from monitoring.dashboards(root, rendered)))
    return f"those of grafana/dashboards: {', '.join(map(str, counts))}"


def started(sets: list[Rendered], binary: Path) -> Iterator[str]:
    ready = []
    # Replicas need a database, which is not there.
    for rendered in [rendered for rendered in sets if not objects.shared(rendered)]:
        seconds = yield from pod.starts(rendered, binary)
        ready.append(f"{rendered.name} {seconds} s")
    return f"check accepts the configuration, probes answer, secrets change, SIGTERM stops; ready after {', '.join(ready)}"


def checks(root: Path, binary: Path, paths: dict[str, Path]) -> list[tuple[str, Iterator[str]]]:
    """Nothing of it runs before its turn; the values are rendered here."""
    chart = root / "deploy/helm/push-exporter"
    sets = [Rendered(name, path, render(helms()[-1], chart, path, name)) for name, path in paths.items()]
    monitored = [rendered for rendered in sets if rendered.of("PrometheusRule")]
    demo = next(rendered for rendered in sets if rendered.name == "demo")
    schemas = f"Kubernetes {', '.join(objects.KUBERNETES)} and the Prometheus Operator take every object"
    return [
        ("Chart.yaml", charts.meta(chart)),
        ("values.schema.json", charts.schema(chart)),
        ("secrets of the exporter", charts.secret_keys(root, chart)),
        ("links", charts.links(root, chart)),
        ("helm lint", charts.lint(chart, paths)),
        ("helm package", charts.package(chart, paths)),
        ("values, refused and taken", refused.values(chart)),
        ("as a part of another chart", refused.subchart(chart)),
        ("upgrade", charts.upgrade(chart, paths)),
        ("NOTES.txt", charts.notes(chart, paths)),
        ("schemas", each(sets, objects.schemas, schemas)),
        ("names and sizes", each(sets, objects.names, "names, labels, namespaces, sizes")),
        ("long names", long_names(chart, paths["full"])),
        ("release", sizes(chart, sets)),
        ("references", each(sets, objects.references, "selectors, ports, volumes, accounts, security")),
        ("secrets in ConfigMaps", each(sets, objects.no_secrets, "there are none")),
        ("rules", ruled(root, monitored)),
        ("dashboards", boards(root, [rendered for rendered in sets if rendered.values.get("dashboards", {}).get("enabled")])),
        ("pods", started(sets, binary)),
        ("Prometheus", monitoring.scraped(demo, binary)),
    ]


def wanted(root: Path, binary: Path, only: str) -> Iterator[tuple[str, Iterator[str]]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = {path.stem: path for path in sorted((HERE / "values").glob("*.yaml"))}
        paths |= {f"example-{path.stem}": path for path in sorted((root / "deploy/helm/examples").glob("*.yaml"))}
        paths["readme"] = Path(folder, "readme.yaml")
        paths["readme"].write_text(readme(root / "deploy/helm/push-exporter"))
        found = [(name, check) for name, check in checks(root, binary, paths) if re.search(only, name)]
        if not found:
            raise ValueError(f"there is no check {only}")
        yield from found


def main() -> int:
    arguments = common.parser(__doc__)
    arguments.add_argument("--only", default="", help="checks whose name this regular expression finds")
    given = arguments.parse_args()
    binary = Path(os.environ.get("PUSH_EXPORTER_BINARY", given.root / "target/debug/push-exporter"))
    try:
        return common.main(wanted(given.root, binary, given.only), [*PROGRAMS, binary.absolute()])
    except (OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
