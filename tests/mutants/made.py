"""Mutants of a module: its text with one small mistake each, of the kinds that people make.

A comparison is off by the equal case or turned round, `and` is `or`, an operator is its opposite, a number
is one more or less, a bool the other one, a condition is negated, a function returns None, a statement is
missing.

Left alone is what no test of behaviour is for: annotations, the text of messages, `assert` and zip's `strict`
(checks themselves), decorators (`frozen`, `slots`, sizes of caches), and the first assignment to a name,
without which nothing runs at all.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import CodeType

LONGEST = 120  # of what is told of a mutant

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_UNTOUCHED = ("annotation", "returns", "decorator_list", "op", "ops")
_TYPES = ("str", "int", "float", "bytes", "bytearray", "list", "tuple", "dict")


@dataclass(frozen=True)
class Mutant:
    """One mistake: `what` was written in the function or class `where`, '' for the module itself."""

    path: str
    line: int
    where: str
    what: str
    tree: ast.Module
    slot: "Slot"
    new: ast.AST

    def code(self) -> CodeType:
        """The whole module with this mistake."""
        old = self.slot.filled_with(self.new)
        try:
            return compile(ast.fix_missing_locations(self.tree), self.path, "exec")
        finally:
            self.slot.filled_with(old)

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.where or 'module'}: {self.what}"


@dataclass(frozen=True)
class Slot:
    """Where a node hangs in its tree."""

    parent: ast.AST
    field: str
    index: int | None

    def filled_with(self, node: ast.AST) -> ast.AST:
        """Hangs up another node, and returns the one that hung there."""
        if self.index is None:
            old: ast.AST = getattr(self.parent, self.field)
            setattr(self.parent, self.field, node)
            return old
        listed = getattr(self.parent, self.field)
        old, listed[self.index] = listed[self.index], node
        return old


@dataclass(frozen=True)
class _Scope:
    where: str
    bound: Counter[str]  # how often each name is given a value


def mutants_of(path: str, text: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines; `path` is what they are told by."""
    tree = ast.parse(text)
    found = (
        Mutant(path, line, where, what, tree, slot, new)
        for line, where, what, slot, new in _within(tree, _Scope("", _bound(tree)))
    )
    return sorted(found, key=lambda mutant: mutant.line)


Found = tuple[int, str, str, Slot, ast.AST]


def _within(parent: ast.AST, scope: _Scope) -> Iterator[Found]:
    for slot, node in _children(parent):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.keyword) and node.arg == "strict"):
            continue
        for what, new in _mistakes(slot, node, scope):
            line = getattr(node, "lineno", 0)
            told = " ".join(what.split())
            told = told if len(told) <= LONGEST else f"{told[:LONGEST]}..."
            yield line, scope.where, told, slot, ast.copy_location(new, node)
        yield from _within(node, _scope_in(node, scope))


def _children(parent: ast.AST) -> Iterator[tuple[Slot, ast.AST]]:
    for field, value in ast.iter_fields(parent):
        if field in _UNTOUCHED:
            continue
        if isinstance(value, list):
            yield from ((Slot(parent, field, i), each) for i, each in enumerate(value) if _is_node(each))
        elif _is_node(value):
            yield Slot(parent, field, None), value


def _is_node(value: object) -> bool:
    return isinstance(value, ast.AST)


def _scope_in(node: ast.AST, scope: _Scope) -> _Scope:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return scope
    inner = replace(scope, where=f"{scope.where}.{node.name}".lstrip("."))
    return inner if isinstance(node, ast.ClassDef) else replace(inner, bound=_bound(node))


def _bound(scope: ast.AST) -> Counter[str]:
    nodes = list(ast.walk(scope))
    names = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return Counter(names + [node.arg for node in nodes if isinstance(node, ast.arg)])


def _mistakes(slot: Slot, node: ast.AST, scope: _Scope) -> Iterator[tuple[str, ast.AST]]:
    """What could stand in a node's place, each told as 'old -> new'."""
    match node:
        case ast.Compare():
            yield from _compared(node)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield _changed(node, ast.BoolOp(other, node.values))
        case ast.BinOp(op=op) if type(op) in _CALCULATED and not _is_of_types(node):
            yield _changed(node, ast.BinOp(node.left, _CALCULATED[type(op)](), node.right))
        case ast.AugAssign(op=op):
            if type(op) in _CALCULATED:
                yield _changed(node, ast.AugAssign(node.target, _CALCULATED[type(op)](), node.value))
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield _changed(node, node.operand)
        case ast.Constant(value=bool() | int() | float()):
            yield from _other_constants(slot, node)
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield _changed(node, ast.Return(ast.Constant(None)))
    if isinstance(node, ast.expr) and _is_condition(slot) and _can_be_negated(node):
        yield _changed(node, ast.UnaryOp(ast.Not(), node))
    if isinstance(node, ast.stmt) and _can_be_dropped(node, scope):
        yield f"{ast.unparse(node)} dropped", ast.Pass()


def _changed(old: ast.AST, new: ast.AST) -> tuple[str, ast.AST]:
    return f"{ast.unparse(old)} -> {ast.unparse(new)}", new


def _compared(node: ast.Compare) -> Iterator[tuple[str, ast.AST]]:
    for i, op in enumerate(node.ops):
        ops = [*node.ops[:i], _COMPARED[type(op)](), *node.ops[i + 1 :]]
        yield _changed(node, ast.Compare(node.left, ops, node.comparators))


def _other_constants(slot: Slot, node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    around = f" in {ast.unparse(slot.parent)}" if isinstance(slot.parent, ast.expr) else ""
    for new in (not value,) if isinstance(value, bool) else (value + 1, value - 1):
        if new != value:  # 1e18 + 1 is 1e18
            yield f"{value} -> {new}{around}", ast.Constant(new)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_of_types(node: ast.BinOp) -> bool:
    """Whether it is a type: `int | None`, `Goal | Bound`."""
    sides = (node.left, node.right)
    return isinstance(node.op, ast.BitOr) and any(
        _is_none(side)
        or (isinstance(side, ast.Name) and (side.id in _TYPES or side.id[0].isupper()))
        or (isinstance(side, ast.Subscript) and isinstance(side.value, ast.Name) and side.value.id in _TYPES)
        for side in sides
    )


def _is_condition(slot: Slot) -> bool:
    return slot.field == "test" or (isinstance(slot.parent, ast.comprehension) and slot.field == "ifs")


def _can_be_negated(node: ast.expr) -> bool:
    """Not where another mutant is the same already."""
    if isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
        return False
    single = isinstance(node, ast.Compare) and len(node.ops) == 1
    return not single or isinstance(node.ops[0], _ORDERED)


def _can_be_dropped(node: ast.stmt, scope: _Scope) -> bool:
    match node:
        case ast.Expr(value=value):
            return not isinstance(value, ast.Constant)  # a docstring, or `...`
        case ast.Raise() | ast.Continue() | ast.Break() | ast.AugAssign() | ast.Delete():
            return True
        case ast.Assign(targets=targets):
            return all(_stays_bound(target, scope) for target in targets)
    return False


def _stays_bound(target: ast.expr, scope: _Scope) -> bool:
    """Whether what is assigned to exists without this assignment too."""
    match target:
        case ast.Name(id=name):
            return scope.bound[name] > 1
        case ast.Tuple(elts=each) | ast.List(elts=each):
            return all(_stays_bound(one, scope) for one in each)
        case ast.Attribute() | ast.Subscript():
            return True
    return False
