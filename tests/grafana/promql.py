"""The selectors of a PromQL expression and what stands around them: as much as the rules of lint.py ask for. Whether
the expression is valid is promtool's to say."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<range>\[[^\]]*\])
      | (?P<duration>\d+(?:ms|[smhdwy])\b)
      | (?P<number>\d[\w.]*)
      | (?P<name>[a-zA-Z_:][\w:]*)
      | (?P<sign>=~|!~|!=|==|<=|>=|\S)""",
    re.VERBOSE,
)
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "offset", "bool", "atan2", "inf", "nan"}


@dataclass(frozen=True)
class Selector:
    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    range: str | None
    function: str | None  # the call whose argument it is, without anything between

    def __str__(self) -> str:
        inside = ", ".join(f"{label}{sign}{value}" for label, sign, value in self.matchers)
        return f"{self.metric}{{{inside}}}"


def selectors(expr: str) -> list[Selector]:
    tokens = [(found.lastgroup, found.group()) for found in _TOKEN.finditer(expr)]
    found, calls, place = [], [], 0

    def at(index: int) -> tuple[str | None, str]:
        return tokens[index] if index < len(tokens) else (None, "")

    while place < len(tokens):
        kind, text = tokens[place]
        place += 1
        if kind == "name" and text in _GROUPING:
            if at(place)[1] == "(":
                while at(place)[1] not in (")", ""):
                    place += 1
                place += 1
        elif kind == "name" and at(place)[1] in ("by", "without") or kind == "name" and text in _WORDS:
            pass
        elif kind == "name" and at(place)[1] == "(":
            calls.append(text)
            place += 1
        elif text == "(":
            calls.append(None)
        elif text == ")":
            del calls[-1:]
        elif kind == "name" or text == "{":
            metric, matchers, window = text if kind == "name" else "", [], None
            if text == "{" or at(place)[1] == "{":
                place += text != "{"
                while at(place)[1] not in ("}", ""):
                    if at(place)[0] == "name":
                        matchers.append((at(place)[1], at(place + 1)[1], at(place + 2)[1]))
                        place += 3
                    else:
                        place += 1
                place += 1
            if at(place)[0] == "range":
                window = at(place)[1]
                place += 1
            found.append(Selector(metric, tuple(matchers), window, calls[-1] if calls else None))
    return found
