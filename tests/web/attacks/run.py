"""Runs the attacks that were chosen: the fast ones one after the other, the slow ones in waves, since each of those
waits for a timer of the server; then looks at what stays behind."""

import collections
import contextlib
import json
import statistics
import sys
import time

from connections import Engine
from limits import GRACE, SLACK, WAVE_CONNECTIONS
from measure import Process, Scraper, Watcher
from registry import ATTACKS
from report import COLUMNS, Report, failed_scrapes, how_it_ended, spread, what_was_sent
from selfcheck import self_check


class Run:
    def __init__(self, options):
        self.options, self.report = options, Report()
        self.addresses = {"plain": options.plain, "tls": options.tls}
        plain = Process(options.pid)
        tls = plain if options.pid_tls in (None, options.pid) else Process(options.pid_tls)
        self.processes = {"plain": plain, "tls": tls}
        self.engine = Engine()
        self.watcher = Watcher(self.engine, {plain, tls}, {options.plain[1], options.tls[1]})
        self.scrapers = {port: Scraper(address, port == "tls", options.scrape_limit)
                         for port, address in self.addresses.items()}
        # How long a slow attack may unfold by itself before the next one is started beside it.
        self.window = 1.2 if options.scale >= 0.5 else 0.6

    def size(self, entry):
        return max(entry.floor, round(entry.count * self.options.scale)) if entry.count else 0

    def start(self, entry):
        process = self.processes[entry.port]
        exact = process.reset_peak()
        before = process.memory()[0]
        started = time.monotonic()
        fds = process.descriptors()
        shot = entry.function(self.addresses[entry.port], self.size(entry), self.options.scale)
        self.engine.open(shot.conns)
        return {"entry": entry, "shot": shot, "before": before, "started": started, "exact": exact, "fds_before": fds}

    def measure(self, state):
        """Memory and descriptors between the attack's start and now."""
        process, now = self.processes[state["entry"].port], time.monotonic()
        samples = [sample for sample in list(process.samples) if state["started"] <= sample[0] <= now]
        peak = max([rss for _, rss, _ in samples] + [process.memory()[1 if state["exact"] else 0]])
        state["growth"] = (peak - state["before"]) / 1024
        state["fds"] = max([fds for _, _, fds in samples] + [process.descriptors()])

    def wait(self, states):
        """Until every connection has ended, or has passed its limit."""
        while not self.watcher.gone:
            if self.engine.failure:
                sys.exit(f"the attacker's own thread failed: {self.engine.failure!r}")
            now, waiting = time.monotonic(), False
            for state in states:
                entry = state["entry"]
                limit = entry.limit + (GRACE + SLACK if entry.must_end else 0)
                alive = [conn for conn in state["shot"].conns
                         if not conn.ended and (entry.must_end or not conn.is_quiet())
                         and now < min(conn.start_of_limit() + limit, state["started"] + 2 * limit)]
                waiting |= bool(alive)
                if not alive:
                    state.setdefault("over", now)
            if not waiting:
                return
            time.sleep(0.05)

    def finish(self, state):
        """Closes what is left, and makes the row."""
        entry, shot = state["entry"], state["shot"]
        state.setdefault("over", time.monotonic())
        left = [conn for conn in shot.conns if not conn.ended]
        queued = [conn for conn in left
                  if not conn.connected or self.watcher.held.get((conn.port, conn.address[1])) is False]
        self.engine.drop(left)
        while any(conn in self.engine.conns for conn in left):
            time.sleep(0.02)
        problems = []
        if self.watcher.gone:
            problems.append("THE PROCESS IS GONE")
        if any(conn.how.startswith("no ALPN") or "NO_APPLICATION_PROTOCOL" in conn.cause for conn in shot.conns):
            problems.append("ALPN h2 is not offered")
        if entry.must_end:
            open_still = len(left) - len(queued)
            if open_still:
                problems.append(f"{open_still} still open {entry.limit}+{GRACE} s later")
            late = [conn.ended - conn.start_of_limit() for conn in shot.conns
                    if conn.how != "by us" and conn.ended - conn.start_of_limit() > entry.limit + GRACE + SLACK]
            if late:
                problems.append(f"{len(late)} ended after {spread(late)}")
        if queued:
            self.report.notes.append(f"{entry.name}: {len(queued)} connections were never accepted, "
                                     "they waited in the kernel's queue")
        if shot.judge:
            problems += shot.judge(shot.conns)
        if state["growth"] > self.options.rss_limit:
            problems.append(f"memory grew by {state['growth']:.0f} MiB")
        scrapes = self.scrapers[entry.port].within(state["started"], state["over"])
        failed = [error for _, _, error in scrapes if error]
        times = [1000 * (end - start) for start, end, _ in scrapes]
        if failed:
            problems.append(f"{len(failed)} of {len(scrapes)} scrapes failed ({failed[0]})")
        if not scrapes:
            problems.append("no scrape came to an end")
        self.report.row(entry.name, what_was_sent(shot), how_it_ended(shot.conns), state["growth"], state["fds"],
                        times, problems, shot.detail)

    def quiet(self, entry, state):
        """Until the server has noticed that the attack is over, so that the next one starts from the same ground."""
        process, until = self.processes[entry.port], time.monotonic() + 2
        while process.descriptors() > state["fds_before"] + 2 and time.monotonic() < until:
            time.sleep(0.05)

    def fast(self, entry):
        state = self.start(entry)
        self.wait([state])
        # Long enough for some scrapes during and just behind it.
        time.sleep(max(0.0, state["started"] + 0.6 - time.monotonic()))
        state["over"] = time.monotonic()
        with contextlib.suppress(OSError):
            self.measure(state)
        self.finish(state)
        with contextlib.suppress(OSError):
            self.quiet(entry, state)

    def waves(self, entries):
        """Slow attacks in groups that together stay below what a server may allow. Those with the longest limits
        start first, so that nothing is released while a later one is measured."""
        wave, taken, shared = [], collections.Counter(), self.processes["plain"] is self.processes["tls"]
        for entry in sorted(entries, key=lambda entry: -entry.limit):
            where = "both" if shared else entry.port
            if wave and (entry.alone or taken[where] + self.size(entry) > WAVE_CONNECTIONS):
                continue
            if entry.alone and len(entries) > 1 and any(not other.alone for other in entries):
                continue
            wave.append(entry)
            taken[where] += self.size(entry)
            if entry.alone:
                break
        rest = [entry for entry in entries if entry not in wave]
        return [wave] + (self.waves(rest) if rest else [])

    def slow(self, wave):
        states = []
        first = {process: (process.reset_peak(), process.memory()[0])[1] for process in self.processes.values()}
        started, fds = time.monotonic(), {process: process.descriptors() for process in first}
        for entry in wave:
            state = self.start(entry)
            states.append(state)
            until = time.monotonic() + 5
            time.sleep(self.window)
            while time.monotonic() < until and any(
                    conn.state != "open" and not conn.ended for conn in state["shot"].conns):
                time.sleep(0.05)
            with contextlib.suppress(OSError):
                self.measure(state)
        self.wait(states)
        over = time.monotonic()
        for state in states:
            self.finish(state)
        if len(states) > 1:
            self.together(states, first, started, over)
        for process, count in fds.items():
            until = time.monotonic() + 2
            while process.descriptors() > count + 2 and time.monotonic() < until:
                time.sleep(0.05)

    def together(self, states, first, started, over):
        """The wave as a whole, since its attacks were measured only while each began."""
        for process, before in first.items():
            ports = [port for port, other in self.processes.items() if other is process]
            mine = [state for state in states if state["entry"].port in ports]
            if not mine:
                continue
            samples = [sample for sample in list(process.samples) if started <= sample[0] <= over]
            scrapes = [scrape for port in ports for scrape in self.scrapers[port].within(started, over)]
            growth = (max(rss for _, rss, _ in samples) - before) / 1024
            problems = failed_scrapes(scrapes)
            if growth > self.options.rss_limit * len(mine):
                problems.append(f"memory grew by {growth:.0f} MiB")
            self.report.row(f"= {len(mine)} together", f"{'+'.join(ports)}, {over - started:.0f} s", "", growth,
                            max(fds for _, _, fds in samples), [1000 * (end - start) for start, end, _ in scrapes],
                            problems)

    def all(self):
        began = time.monotonic()
        self.engine.start()
        self_check(self.addresses, self.engine, self.scrapers)
        self.watcher.start()
        for scraper in self.scrapers.values():
            scraper.start()
        time.sleep(1.0)  # some scrapes in peace: what they allocate is no attack's
        ground = {process: process.memory()[0] for process in self.processes.values()}
        peace = {port: scraper.within(0, time.monotonic()) for port, scraper in self.scrapers.items()}
        for port, results in peace.items():
            print(f"in peace: {port}: scrape median {statistics.median(1000 * (e - s) for s, e, _ in results):.1f} ms, "
                  f"RSS {ground[self.processes[port]] / 1024:.1f} MiB, {self.processes[port].descriptors()} fds")
        print(" | ".join(name.ljust(width) for name, width in COLUMNS))
        only = [part.strip().lower() for part in self.options.only.split(",")] if self.options.only else [""]
        skip = [part.strip().lower() for part in self.options.skip.split(",")] if self.options.skip else []
        chosen = [entry for entry in ATTACKS if any(part in entry.name.lower() for part in only)
                  and not any(part in entry.name.lower() for part in skip)]
        if not chosen:
            sys.exit("no attack has such a name; see --list")
        for entry in chosen:
            if not entry.slow and not self.watcher.gone:
                self.fast(entry)
        slow = [entry for entry in chosen if entry.slow]
        for wave in self.waves(slow) if slow else []:
            if not self.watcher.gone:
                self.slow(wave)
        if not self.watcher.gone:
            self.aftermath(ground)
        for note in self.report.notes:
            print("note:", note)
        failed = [row["attack"] for row in self.report.rows if row["problems"]]
        if self.watcher.gone:
            failed.append("the process is gone")
        rows = len(self.report.rows)
        print(f"{rows - len(failed)} of {rows} rows passed in {time.monotonic() - began:.0f} s"
              + (f"; FAILED: {', '.join(failed)}" if failed else ""))
        if self.options.json:
            with open(self.options.json, "w") as file:
                json.dump({"scale": self.options.scale, "seconds": round(time.monotonic() - began, 1),
                           "rows": self.report.rows, "notes": self.report.notes}, file, indent=1)
        return 1 if failed else 0

    def aftermath(self, ground):
        """What stays behind when all is over: growth that adds up from attack to attack is seen only here."""
        for process, before in ground.items():
            ports = [port for port, other in self.processes.items() if other is process]
            started = time.monotonic()
            time.sleep(1.0)
            samples = [sample for sample in list(process.samples) if sample[0] >= started]
            scrapes = [scrape for port in ports for scrape in self.scrapers[port].within(started, time.monotonic())]
            growth = (process.memory()[0] - before) / 1024
            fds = max(fds for _, _, fds in samples)
            problems = failed_scrapes(scrapes)
            if growth > self.options.rss_limit:
                problems.append(f"{growth:.0f} MiB more than before everything")
            peak = max(rss for _, rss, _ in process.samples) / 1024
            self.report.row("= afterwards", f"{'+'.join(ports)}: RSS before {before / 1024:.1f}, peak {peak:.1f}, "
                            f"now {before / 1024 + growth:.1f} MiB", "", growth, fds,
                            [1000 * (end - start) for start, end, _ in scrapes], problems)
