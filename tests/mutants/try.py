"""Tries each mutant of a build by switches.py against the tests that reach it, those that noticed changes nearby first.

    try.py COPY MUTANTS.json BINARIES.json RESULTS.jsonl [--seconds N] [--jobs N] [--only REGEX] [--tests REGEX]

First every test runs once, which tells what it reaches and how long it takes. Then each mutant runs until a test fails or does
not end, twice, or N seconds of tests have passed (0: until all that reach it have). RESULTS.jsonl has a line for each mutant and is
continued when the command is repeated; the counts and the names of what no test noticed are printed at the end."""

import argparse
import collections
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

# Tests that measure, inspect the source, or take minutes: they tell nothing about a small change.
LEFT_OUT = re.compile(
    r"many_messages|a_day_of_messages|memory_growth|throughput|imports|blocking_calls|fuzz_seeds|packaged_files|in_a_storm"
    r"|no_limit_is_passed|refuse_nothing_either"
)
# Tests with a PostgreSQL server of their own, and those of the suite that run once more on PostgreSQL.
PROGRAMS = re.compile(r"^(postgres|replicas|databases)::")
ON_POSTGRES = re.compile(r"^(messages::(?!simulated_month|engagelab_month)|ledger::kills|polling::(first_start|late_data|deliveries_by_hour)::)")
SERVER = "PUSH_EXPORTER_TEST_LEDGER"


class Tests:
    def __init__(self, copy, binaries):
        self.copy, self.binaries = copy, binaries

    def names(self):
        for kind in ("lib", "suite", "programs"):
            listed = subprocess.run([self.binaries[kind], "--list"], cwd=self.copy, capture_output=True, text=True).stdout
            for name in re.findall(r"^(\S+): test$", listed, re.M):
                if not LEFT_OUT.search(name) and (kind != "programs" or PROGRAMS.search(name)):
                    yield f"{kind} {name}"
                if kind == "suite" and SERVER in os.environ and not LEFT_OUT.search(name) and ON_POSTGRES.search(name):
                    yield f"postgres {name}"

    def run(self, test, limit, **variables):
        """Returns "passed", "failed" or "timeout", and the seconds it took."""
        kind, name = test.split(" ", 1)
        environment = os.environ | {"PUSH_EXPORTER_KILLS": "6", "CARGO_MANIFEST_DIR": str(self.copy)} | variables
        if kind == "postgres":
            kind = "suite"
        else:
            environment.pop(SERVER, None)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            # A PostgreSQL server does not run as root, and has its files there.
            Path(folder).chmod(0o755)
            process = subprocess.Popen(
                [self.binaries[kind], "--exact", name],
                cwd=self.copy,
                env=environment | {"TMPDIR": folder},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                result = "passed" if process.wait(limit) == 0 else "failed"
            except subprocess.TimeoutExpired:
                result = "timeout"
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        return result, time.monotonic() - began


def in_parallel(jobs, items, work):
    items, lock = iter(items), threading.Lock()

    def worker():
        while True:
            with lock:
                item = next(items, None)
            if item is None:
                return
            work(item)

    workers = [threading.Thread(target=worker) for _ in range(jobs)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()


def baseline(tests, jobs, selected, stored):
    """What each test reaches and how many seconds it takes; tests that fail without a mutant are of no use."""
    found = json.loads(stored.read_text()) if stored.exists() else {}
    wanted = [test for test in tests.names() if re.search(selected, test)]

    def once(test):
        with tempfile.NamedTemporaryFile() as coverage:
            result, seconds = tests.run(test, 300, MUTANT_COVERAGE=coverage.name)
            data = Path(coverage.name).read_bytes()
        reached = sorted({int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) - 3, 4)})
        if result == "passed":
            found[test] = {"seconds": seconds, "reaches": reached}
        else:
            print(f"left out, since it fails without a mutant: {test}", flush=True)

    in_parallel(jobs, [test for test in wanted if test not in found], once)
    stored.write_text(json.dumps(found))
    return {test: found[test] for test in wanted if test in found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("copy", "mutants", "binaries", "results"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--only", default="", help="mutants whose name matches this")
    parser.add_argument("--tests", default="", help="tests to run, by name: lib, suite, programs or postgres, and the path")
    options = parser.parse_args()
    mutants = json.loads(options.mutants.read_text())
    uncompiled = set(json.loads((options.copy / "uncompiled.json").read_text()))
    tests = Tests(options.copy, json.loads(options.binaries.read_text()))
    base = baseline(tests, options.jobs, options.tests, options.results.with_suffix(".baseline"))
    reaching = collections.defaultdict(list)
    for test, run in base.items():
        for number in run["reaches"]:
            reaching[number].append(test)

    done, noticed, lock = {}, collections.defaultdict(collections.Counter), threading.Lock()

    def note(result):
        done[result["name"]] = result
        if "by" in result:
            noticed[result["name"].split(":")[0]][result["by"]] += 1
            noticed[result["name"].rsplit(" in ", 1)[-1]][result["by"]] += 4

    if options.results.exists():
        for line in options.results.read_text().splitlines():
            note(json.loads(line))

    def attempt(number):
        name = mutants[number]["name"]
        score = lambda test: base[test]["seconds"] / (
            1 + noticed[name.split(":")[0]][test] + noticed[name.rsplit(" in ", 1)[-1]][test]
        )
        with lock:
            candidates = sorted(reaching[number], key=score)
        result = {"name": name, "result": "unnoticed" if candidates else "unreached"}
        spent = 0.0
        for test in candidates:
            if 0 < options.seconds < spent:
                result["result"] = "undecided"
                break
            limit = 4 * base[test]["seconds"] + 8
            outcome, seconds = tests.run(test, limit, MUTANT=str(number))
            spent += seconds
            # A test that failed, or took too long, because the machine was busy passes the second time.
            if outcome != "passed" and tests.run(test, limit, MUTANT=str(number))[0] != "passed":
                result |= {"result": "caught" if outcome == "failed" else "timeout", "by": test}
                break
        with lock, options.results.open("a") as results:
            results.write(json.dumps(result) + "\n")
            note(result)
            if len(done) % 100 == 0:
                print(f"{len(done)} tried", flush=True)

    # What an earlier run had no time for is tried again if there is more time now.
    is_open = lambda name: name not in done or done[name]["result"] == "undecided"
    selected = [number for number, mutant in enumerate(mutants) if re.search(options.only, mutant["name"])]
    in_parallel(options.jobs, [n for n in selected if n not in uncompiled and is_open(mutants[n]["name"])], attempt)

    results = {mutants[n]["name"]: done[mutants[n]["name"]]["result"] for n in selected if n not in uncompiled}
    for name, result in sorted(results.items()):
        if result in ("unnoticed", "unreached"):
            print(f"{result}: {name}")
    counts = collections.Counter(results.values(), uncompiled=sum(n in uncompiled for n in selected))
    print(", ".join(f"{count} {result}" for result, count in counts.most_common()), f"of {len(selected)}")


main()
