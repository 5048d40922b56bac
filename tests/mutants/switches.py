"""Writes a copy of the source in which every mutant of cargo-mutants' list stands behind a switch, so that one build has them
all: MUTANT=17 selects one when the program or a test runs.

    switches.py SOURCE COPY MUTANTS.json

MUTANTS.json is the output of `cargo mutants --list --json`. Mutants that do not compile are found by building, left out, and
listed in COPY/uncompiled.json. With MUTANT_COVERAGE=FILE a process appends the numbers of the mutants that it reaches."""

import collections
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import tree_sitter_rust
from tree_sitter import Language, Parser

PARSER = Parser(Language(tree_sitter_rust.language()))
MARK = re.compile(r"/\*«([\d_]+)\*/|/\*([\d_]+)»\*/")
SWITCH = '''//! Switch between mutants.

use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ID: LazyLock<u32> =
    LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|id| id.parse().ok()).unwrap_or(u32::MAX));
static COVERAGE: LazyLock<Option<std::fs::File>> = LazyLock::new(|| {
    let path = std::env::var("MUTANT_COVERAGE").ok()?;
    std::fs::OpenOptions::new().create(true).append(true).open(path).ok()
});
static SEEN: [AtomicBool; 16384] = [const { AtomicBool::new(false) }; 16384];

pub fn is(id: u32) -> bool {
    if let Some(file) = COVERAGE.as_ref() {
        if !SEEN[id as usize].swap(true, Ordering::Relaxed) {
            let _ = (&*file).write_all(&id.to_le_bytes());
        }
    }
    *ID == id
}
'''


class Site:
    """A place with its mutants: an expression with other texts, an insertion, or a guard of a match arm."""

    def __init__(self, start, end, rank, kind):
        self.start, self.end, self.rank, self.kind = start, end, rank, kind
        self.alternatives, self.inner = [], []


class File:
    """A source file with the mutants that it has."""

    def __init__(self, text):
        self.bytes = text.encode()
        self.root = PARSER.parse(self.bytes).root_node
        self.lines = text.split("\n")
        self.offsets = [0]
        for line in self.lines:
            self.offsets.append(self.offsets[-1] + len(line.encode()) + 1)
        self.sites = {}

    def at(self, place):
        """The offset in bytes of a line and a column, which count characters from 1."""
        line, column = place["line"] - 1, place["column"] - 1
        return self.offsets[line] + len(self.lines[line][:column].encode())

    def text(self, start, end):
        return self.bytes[start:end].decode()

    def ancestor(self, node, is_it):
        while node is not None and not is_it(node):
            node = node.parent
        return node

    def site(self, start, end, rank, kind):
        return self.sites.setdefault((start, end, rank), Site(start, end, rank, kind))

    def add(self, number, mutant):
        """Puts a mutant at its site. Returns false if it has none: constants, and && between patterns."""
        start, end = self.at(mutant["span"]["start"]), self.at(mutant["span"]["end"])
        node = self.root.descendant_for_byte_range(start, max(start, end - 1))
        function = self.ancestor(node, lambda node: node.type == "function_item")
        modifiers = [child for child in (function.children if function else []) if child.type == "function_modifiers"]
        if any("const" in self.text(child.start_byte, child.end_byte) for child in modifiers):
            return False
        return getattr(self, mutant["genre"])(number, node, start, end, mutant["replacement"])

    def FnValue(self, number, node, start, end, replacement):
        def is_body(node):
            is_block = node.type == "block" and node.parent.type == "function_item"
            return is_block and node.start_byte <= start and node.end_byte >= end

        body = self.ancestor(node, is_body)
        if body is None:
            return False
        value = "" if replacement == "()" else f" {replacement}"
        early = f" if crate::mutant::is({number}) {{ return{value}; }} "
        self.site(body.start_byte + 1, body.start_byte + 1, 0, "insertion").alternatives.append((number, early))
        return True

    def BinaryOperator(self, number, node, start, end, replacement):
        def has_operator(node):
            is_binary = node.type in ("binary_expression", "compound_assignment_expr")
            return is_binary and any((child.start_byte, child.end_byte) == (start, end) for child in node.children)

        node = self.ancestor(node, has_operator)
        if node is None:
            return False
        left, right = (node.child_by_field_name(side) for side in ("left", "right"))
        text = f"{self.text(left.start_byte, left.end_byte)} {replacement} {self.text(right.start_byte, right.end_byte)}"
        self.site(node.start_byte, node.end_byte, 5, "expression").alternatives.append((number, text))
        return True

    def UnaryOperator(self, number, node, start, end, replacement):
        node = self.ancestor(node, lambda node: node.type == "unary_expression" and node.start_byte == start)
        if node is None:
            return False
        text = replacement + self.text(end, node.end_byte)
        self.site(node.start_byte, node.end_byte, 5, "expression").alternatives.append((number, text))
        return True

    def MatchArmGuard(self, number, node, start, end, replacement):
        self.site(start, end, 4, "expression").alternatives.append((number, replacement))
        return True

    def MatchArm(self, number, node, start, end, replacement):
        arm = self.ancestor(node, lambda node: node.type == "match_arm" and node.start_byte == start)
        if arm is None:
            return False
        pattern = arm.child_by_field_name("pattern")
        guard = pattern.child_by_field_name("condition")
        if guard is None:
            text = f" if !crate::mutant::is({number})"
            self.site(pattern.end_byte, pattern.end_byte, 3, "insertion").alternatives.append((number, text))
        else:
            self.site(guard.start_byte, guard.end_byte, 3, "guard").alternatives.append((number, ""))
        return True

    def StructField(self, number, node, start, end, replacement):
        def has_field(node):
            return node.type == "struct_expression" and node.start_byte < start and node.end_byte >= end

        node = self.ancestor(node, has_field)
        if node is None:
            return False
        text = self.text(node.start_byte, start) + self.text(end, node.end_byte)
        self.site(node.start_byte, node.end_byte, 5, "expression").alternatives.append((number, text))
        return True

    def render(self):
        outer, open_sites = [], []
        for site in sorted(self.sites.values(), key=lambda site: (site.start, -site.end, site.rank)):
            while open_sites and site.end > open_sites[-1].end or open_sites and site.start >= open_sites[-1].end:
                open_sites.pop()
            (open_sites[-1].inner if open_sites else outer).append(site)
            if site.end > site.start:
                open_sites.append(site)
        return self.between(0, len(self.bytes), outer)

    def between(self, start, end, sites):
        parts = []
        for site in sites:
            parts += [self.text(start, site.start), self.switched(site)]
            start = site.end
        return "".join([*parts, self.text(start, end)])

    def switched(self, site):
        inner = self.between(site.start, site.end, site.inner)
        marked = lambda number, text: f"/*«{number}*/{text}/*{number}»*/"
        if site.kind == "insertion":
            return "".join(marked(number, text) for number, text in site.alternatives)
        if site.kind == "guard":
            number = site.alternatives[0][0]
            return f"({marked(number, f'!crate::mutant::is({number})')} && ({inner}))"
        name = "_".join(str(number) for number, _ in site.alternatives)
        arms = " else ".join(
            f"if crate::mutant::is({number}) {{ {marked(number, text)} }}" for number, text in site.alternatives
        )
        return f"/*«{name}*/({arms} else {{ {inner} }})/*{name}»*/"


def write(source, copy, mutants, left_out):
    files = collections.defaultdict(list)
    for number, mutant in enumerate(mutants):
        files[mutant["file"]].append((number, mutant))
    for name, numbered in files.items():
        file = File((source / name).read_text("utf-8"))
        left_out |= {number for number, mutant in numbered if number not in left_out and not file.add(number, mutant)}
        (copy / name).write_text(file.render(), "utf-8")
    library = (source / "src/lib.rs").read_text("utf-8")
    (copy / "src/lib.rs").write_text(library + "\n#[allow(missing_docs, clippy::all)]\npub mod mutant;\n", "utf-8")
    (copy / "src/mutant.rs").write_text(SWITCH, "utf-8")


def errors(copy, command):
    """The errors of a build, each with its spans, the primary ones first."""
    output = subprocess.run([*command, "--message-format=json"], cwd=copy, capture_output=True, text=True)
    messages = [json.loads(line) for line in output.stdout.splitlines() if line.startswith("{")]
    found = [message["message"] for message in messages if message.get("reason") == "compiler-message"]
    found = [message for message in found if message["level"] == "error"]
    return output.returncode == 0, [sorted(message["spans"], key=lambda span: not span["is_primary"]) for message in found]


def blamed(copy, spans, cache):
    """The numbers of the innermost mutants, or of all of the site, that an error is about."""
    for span in spans:
        name = span["file_name"]
        if not name.startswith("src/"):
            continue
        if name not in cache:
            text, opened, ranges = (copy / name).read_text("utf-8"), [], []
            for mark in MARK.finditer(text):
                place = len(text[: mark.start()].encode())
                if mark[1]:
                    opened.append((mark[1], place))
                else:
                    numbers, start = opened.pop()
                    ranges.append((place - start, start, place, numbers))
            cache[name] = sorted(ranges)
        for _, start, end, numbers in cache[name]:
            if start <= span["byte_start"] < end:
                return set(map(int, numbers.split("_")))
    return set()


def is_suspect(mutant, places):
    """Returns true if the mutant is in a function with an error, and of a kind that is not found by its own place."""
    function = mutant["function"]
    if function is None:
        return False
    first, last = (function["span"][end]["line"] for end in ("start", "end"))
    is_there = any(name == mutant["file"] and first <= line <= last for name, line in places)
    return is_there and (mutant["genre"] == "MatchArm" or "impl " in function["return_type"])


def main():
    source, copy = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    mutants = json.loads(Path(sys.argv[3]).read_text())
    stored = copy / "uncompiled.json"
    left_out = set(json.loads(stored.read_text())) if stored.exists() else set()
    for command in (["cargo", "check", "--lib"], ["cargo", "build", "--lib"]):
        while True:
            write(source, copy, mutants, left_out)
            is_built, found = errors(copy, [*command, "--locked", "--profile", "mutants"])
            if is_built:
                break
            cache = {}
            new = set().union(*(blamed(copy, spans, cache) for spans in found)) - left_out
            # The match is to blame if an arm is missing, and the last expression if an opaque type differs: leave out such
            # mutants of the function.
            if not new:
                places = [(spans[0]["file_name"], spans[0]["line_start"]) for spans in found if spans]
                new = {number for number, mutant in enumerate(mutants) if is_suspect(mutant, places)} - left_out
            if not new:
                raise SystemExit(f"cannot build {copy}: {found[:3]}")
            left_out |= new
            print(f"{len(left_out)} of {len(mutants)} mutants do not compile so far", flush=True)
    stored.write_text(json.dumps(sorted(left_out)))


if __name__ == "__main__":
    os.environ.setdefault("CARGO_TARGET_DIR", str(Path(sys.argv[2]).resolve().parent / "target"))
    main()
