"""How a row of the report is put into words and printed.
A row is printed as soon as its attack is over; the lines with "!" below it say why it failed."""

import collections
import statistics

from wire import H2

COLUMNS = (("attack", 26), ("sent", 50), ("ended", 64), ("RSS +MiB", 8), ("fds", 5), ("scrape med/max ms", 17),
           ("verdict", 7))


def spread(values):
    low, high = min(values), max(values)
    return f"{low:.1f} s" if high - low < 0.15 else f"{low:.1f}-{high:.1f} s"


def brief(number):
    if number >= 2**20:
        return f"{number / 2**20:.1f} MiB"
    return f"{number / 1024:.1f} KiB" if number >= 10240 else f"{number} B"


def what_was_sent(shot):
    total = sum(conn.sent for conn in shot.conns)
    return f"{len(shot.conns)} conn, {brief(total)}: {shot.what}" if shot.conns else shot.what


def how_it_ended(conns):
    groups, said = collections.defaultdict(list), []
    for conn in conns:
        how = {"by us": "open still", "cut": "cut", "closed": "closed"}.get(conn.how, conn.how)
        groups[how].append(conn.ended - conn.start_of_limit())
    for how, times in sorted(groups.items(), key=lambda group: -len(group[1])):
        said.append(f"{len(times)} {how} {spread(times)}")
    statuses, resets, goaways = collections.Counter(), collections.Counter(), collections.Counter()
    for conn in conns:
        statuses.update(conn.seen.statuses)
        if isinstance(conn.seen, H2):
            resets.update(conn.seen.resets)
            goaways.update([conn.seen.goaway] if conn.seen.goaway is not None else [])
    if statuses:
        said.append("answered " + " ".join(f"{status}x{n}" for status, n in statuses.most_common(4)))
    for name, codes in (("RST", resets), ("GOAWAY", goaways)):
        said += [f"{name} {code}x{n}" for code, n in codes.most_common(2)]
    return "; ".join(said) or "at once by us"


def failed_scrapes(scrapes):
    """The problem that scrapes failed, as a list of one; an empty one if none did."""
    failed = sum(1 for *_, error in scrapes if error)
    return [f"{failed} scrapes failed"] if failed else []


class Report:
    """The rows so far, and notes to print behind them."""

    def __init__(self):
        self.rows, self.notes = [], []

    def row(self, name, sent, ended, growth, fds, times, problems, detail=()):
        verdict = "FAIL" if problems else "ok"
        middle, most = (statistics.median(times), max(times)) if times else (float("nan"), float("nan"))
        self.rows.append({"attack": name, "sent": sent, "ended": ended,
                          "rss_growth_mib": round(growth, 2), "fds_peak": fds, "scrapes": len(times),
                          "scrape_median_ms": round(middle, 2), "scrape_max_ms": round(most, 2),
                          "verdict": verdict, "problems": problems, "detail": list(detail)})
        cells = (name, sent, ended, f"{growth:.1f}", str(fds), f"{middle:.1f} / {most:.0f}", verdict)
        print(" | ".join(cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS)), flush=True)
        for problem in problems:
            print(f"      ! {problem}", flush=True)
