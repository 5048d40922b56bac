"""RUNBOOK.md: a section for each alert, names and links that lead somewhere, valid queries."""

import re
from collections.abc import Iterator

from promtool import invalid
from repository import Repository


def anchors(text: str) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)]


def names(repository: Repository) -> Iterator[str]:
    text = repository.runbook_file.read_text("utf-8")
    alerts = repository.alerts()
    sections = [title for title in re.findall(r"^## (.+)$", text, re.M) if re.fullmatch(r"Push\w+", title)]
    for name in alerts:
        if name not in sections:
            yield f"{name} has no section"
    for name in sorted(set(re.findall(r"\bPush[A-Z]\w+\b(?!\.\*)", text)) - set(alerts)):
        yield f"{name} is no alert of the rules"
    if not set(alerts) ^ set(sections) and alerts != sections:
        yield f"the sections are not in the order of the rules: {', '.join(alerts)}"
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        name, body = section.split("\n", 1)
        body = body.replace("**Likely causes and what to do.**", "**Likely causes.** **Do.**")
        for wanted in ("Means", "Look first", "Likely causes", "Do", "Ends", "False alarms"):
            if name in alerts and not re.search(rf"\*\*{wanted}(\.\*\*|\*\* )", body):
                yield f"{name} says nothing of: {wanted}"
    known = anchors(text)
    linked = re.findall(r"\]\(#([^)]+)\)", text)
    for link in sorted(set(linked) - set(known)):
        yield f"#{link} leads nowhere"
    titles = {board["title"]: {panel["title"] for panel in panels(board["panels"])} for board in repository.dashboards().values()}
    quoted = re.findall(r"\*(Push / [^:*]+): ([^*]+)\*", re.sub(r"\s+", " ", text))
    for board, panel in sorted(set(quoted)):
        if panel not in titles.get(board, ()):
            yield f"there is no panel “{panel}” in the dashboard “{board}”"
    for uid in sorted(set(re.findall(r"`(push-[a-z]+)`", text)) - repository.dashboards().keys()):
        yield f"there is no dashboard {uid}"
    return f"{len(sections)} sections for {len(alerts)} alerts, in their order; {len(linked)} links; {len(set(quoted))} panels"


def panels(listed: list[dict]) -> Iterator[dict]:
    for panel in listed:
        yield panel
        yield from panels(panel.get("panels", []))


def queries(repository: Repository) -> Iterator[str]:
    text = repository.runbook_file.read_text("utf-8")
    queries = [query.strip() for query in re.findall(r"^```promql\n(.*?)^```$", text, re.M | re.S)]
    known = repository.metrics()
    for query in queries:
        for name in set(re.findall(r"\b(?:push_[a-z0-9_]+|[a-z_]+:[a-z0-9_]+:[a-z0-9_]+)", query)):
            if re.sub(r"_(bucket|sum|count)$", "", name) not in known and name not in known:
                yield f"there is no metric {name}: {query.splitlines()[0]}"
    yield from invalid(queries)
    if not queries:
        yield "there are no queries"
    return f"{len(queries)} queries, valid by promtool, of metrics that exist"
