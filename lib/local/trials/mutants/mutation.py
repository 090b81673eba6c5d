"""Every way in which a file of the function's can be a little wrong.

mutmut knows how code goes wrong, strings, numbers and arguments among it. Its own runner exchanges
functions inside one process, and leaves tables and decorated functions alone; here a file is
written anew for each mutant, so that the runtime's own process has it, too, and tables of rules
are mutated as well.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst
from libcst import matchers
from libcst.metadata import MetadataWrapper
from mutmut.mutation.mutators import mutation_operators, operator_if_exp, operator_string

type Operator = Callable[[Any], Iterable[cst.CSTNode]]
type Change = tuple[cst.CSTNode, cst.CSTNode]
"""A part of a file, and what stands there instead."""

_NOT_RUN = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.TypeAlias, cst.Param)
"""What no test can tell apart: it is for readers and type checkers, or is checked by them."""
_NOTHING = matchers.SimpleStatementLine([matchers.Return(matchers.Name("None"))])
"""At the end of a function, Python does so without being told."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one change."""

    path: str
    """Of the file, below the project's root."""
    line: int
    before: str
    after: str
    """The lines that differ, without white space around them and comments behind them."""
    text: str
    """The whole file."""

    @property
    def key(self) -> tuple[str, str, str]:
        """By which a list knows it, wherever in the file it stands."""
        return self.path, self.before, self.after

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before} => {self.after}"


def mutants(
    path: str, source: str, some: Callable[[list[Change]], list[Change]] = list
) -> list[Mutant]:
    """All of a file's, or `some` of them, in the order of its lines; each takes some 0.05 s."""
    module = MetadataWrapper(cst.parse_module(source)).module  # in which each node stands once
    visitor = _Visitor()
    module.visit(visitor)
    changed = [module.deep_replace(old, new) for old, new in some(visitor.found)]
    made = {each.code: None for each in changed if isinstance(each, cst.Module)}
    return sorted(
        (_compared(path, source, text) for text in made if text != source),
        key=lambda mutant: (mutant.line, mutant.after),
    )


class _Visitor(cst.CSTVisitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Change] = []
        self._last: set[cst.CSTNode] = set()
        """What each function ends with."""

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, _NOT_RUN) or (node in self._last and matchers.matches(node, _NOTHING)):
            return False
        if isinstance(node, cst.FunctionDef):
            self._last.add(node.body.body[-1])
        for kind, operator in _OPERATORS:
            if isinstance(node, kind):
                self.found += [(node, changed) for changed in operator(node)]
        return True


def _one_string(node: cst.BaseString) -> Iterator[cst.CSTNode]:
    """One change is enough: who does not notice it notices no other letters either."""
    yield from list(operator_string(node))[:1]


def _drop(line: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """Leave out a statement that is there for what it does."""
    match line.body:
        case [cst.Expr(value=cst.SimpleString())]:
            pass  # a docstring
        case [cst.Expr() | cst.Raise() | cst.Return() | cst.Del()]:
            yield line.with_changes(body=[cst.Pass()])


_OPERATORS: list[tuple[type, Operator]] = [
    *((kind, operator) for kind, operator in mutation_operators if operator is not operator_string),
    (cst.BaseString, _one_string),
    (cst.If, operator_if_exp),
    (cst.SimpleStatementLine, _drop),
]


def _compared(path: str, source: str, text: str) -> Mutant:
    old, new = source.splitlines(), text.splitlines()
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    changed = [code for code in codes if code[0] != "equal"]
    first, last = changed[0], changed[-1]
    before, after = old[first[1] : last[2]], new[first[3] : last[4]]
    return Mutant(path, first[1] + 1, _joined(before), _joined(after), text)


def _joined(lines: list[str]) -> str:
    """Code on one line, without the comments at the ends of its lines."""
    return " ".join(" ".join(re.sub(r"  # .*", "", line) for line in lines).split())
