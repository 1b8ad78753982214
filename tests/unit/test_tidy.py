"""The house rules, held by a machine: what is small and plainly named can be read, and so can be trusted."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tenderline import config
from tenderline.core import pan

ROOT = Path(__file__).parents[2]
FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 500  # tables of cases are long without being hard
FUNCTION_LINES_MAX = 60
FILE_BYTES_READ_MAX = 2 * 1024 * 1024

NAMELESS = frozenset({"util", "utils", "helper", "helpers", "misc", "common", "stuff"})
UNITS = frozenset(
    {"s", "ms", "h", "min", "days", "bytes", "minor", "characters", "px", "share", "ratio", "hz", "db", "dbov"}
)
BOUNDS = frozenset({"max", "min"})
INSTANTS = frozenset({"deadline", "until", "at", "now"})
LASTING = frozenset(
    {"timeout", "pause", "delay", "interval", "grace", "patience", "wait", "latency", "duration", "tolerance", "skew"}
)

# Digits that pass for a card number and are none, each with its reason. They may stand in tests, and nowhere else.
# Written in two halves, so that this file holds none itself.
ALLOWED_IN_TESTS = {
    "42424242" + "42424242": "Stripe's published test card",
    "37828224" + "6310005": "the published test card of American Express",
    "40000000" + "00000341": "Stripe's published card that is declined when it is charged",
    "49151234" + "56787": "a German mobile number with a right Luhn sum",
}

# A path of one machine, a hidden folder beside the project, the host of a package registry: nothing that somebody
# with only this repository could follow. Letters stand in brackets so that the patterns do not find themselves.
OUTSIDE = {
    "an absolute path of one machine": r"(?<![\w.:/~-])/(?:[h]ome|[r]oot|[U]sers|[w]ork)(?:/|\b(?![\w-]))",
    "a folder beside the project": r"\.[l]ibrary\b|\b[s]hared/(?:[a-z]+/|[A-Z]+\.md)",
    "the host of a package registry": r"(?:[p]ypi|[n]pmjs|[p]ythonhosted|[c]rates)\.(?:org|com|io)\b|[-]-index-url",
}
# What a browser would load or open.
HOST = re.compile(r"(?:https?:)?//(?!\{)([\w-]+(?:\.[\w-]+)+|localhost)", re.IGNORECASE)
NAMESPACE = re.compile(r"http://www\.w3\.org/(?:1999/xhtml|1999/xlink|2000/svg|1998/Math/MathML)")


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        return tuple(path for name in sorted(set(names)) if (path := ROOT / name).is_file())
    # An unpacked source archive: no git, and nothing in it that was ignored.
    return tuple(
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") or part in ("build", "dist") for part in path.relative_to(ROOT).parts)
    )


def modules(*folders: str) -> list[Path]:
    """The Python files below these folders."""
    return [path for path in project_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text("utf-8"))


def is_vendored(path: Path) -> bool:
    """Whether it is somebody else's code, kept byte for byte."""
    return "vendor" in path.relative_to(ROOT).parts and path.suffix in (".js", ".css")


def shown(path: Path) -> str:
    """As it is named in a failure."""
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str | None:
    """The text of a file; None when it is none or too large to be written by hand."""
    if path.stat().st_size > FILE_BYTES_READ_MAX:
        return None
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None


def test_every_module_says_why_it_exists() -> None:
    silent = [shown(path) for path in modules("src", "tests") if not ast.get_docstring(tree_of(path))]
    assert not silent, f"no docstring at the top: {silent}"


def test_files_and_functions_stay_short_enough_to_be_read() -> None:
    long: list[str] = []
    for path in modules("src", "tests"):
        lines_max = FILE_LINES_MAX if path.is_relative_to(ROOT / "src") else TEST_FILE_LINES_MAX
        lines = len(path.read_text("utf-8").splitlines())
        if lines > lines_max:
            long.append(f"{shown(path)} has {lines} lines, {lines_max} may be")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{shown(path)}: {node.name} has {lines} lines, {FUNCTION_LINES_MAX} may be")
    assert not long, "it holds two ideas: " + "; ".join(long)


def test_no_except_catches_everything_unnamed() -> None:
    bare = [
        f"{shown(path)}:{node.lineno}"
        for path in modules("src", "tests")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not bare, f"name what is caught: {bare}"


def test_no_module_is_named_after_nothing() -> None:
    nameless = [
        shown(path)
        for path in modules("src", "tests")
        if NAMELESS & {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
    ]
    assert not nameless, f"name it after what it is about: {nameless}"


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    return isinstance(node, ast.UnaryOp) and _is_number(node.operand)


def _is_float(node: ast.expr) -> bool:
    return any(isinstance(one, ast.Constant) and isinstance(one.value, float) for one in ast.walk(node))


def _constants(path: Path) -> Iterator[tuple[str, ast.expr]]:
    """The numbers that a module names at its top level."""
    for node in tree_of(path).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_number(value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _is_number(value):
                yield name, value


def _words(name: str) -> set[str]:
    return set(name.lower().strip("_").split("_"))


def test_a_constant_that_is_a_duration_or_a_size_names_its_unit() -> None:
    """Three tells of a quantity: it is a float, it is calculated (`24 * 3600`), or its name is that of a time span."""
    unitless: list[str] = []
    for path in modules("src", "tests"):
        for name, value in _constants(path):
            words = _words(name)
            quantity = _is_float(value) or bool(LASTING & words)
            calculated = isinstance(value, ast.BinOp)
            if (quantity and not UNITS & words) or (calculated and not (UNITS | BOUNDS) & words):
                unitless.append(f"{shown(path)}: {name}")
    assert not unitless, f"say seconds, bytes or days in the name: {unitless}"


def test_a_float_that_is_passed_around_names_its_unit() -> None:
    unitless: list[str] = []
    for path in modules("src"):
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.arg(arg=name, annotation=ast.expr() as annotation):
                    pass
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    pass
                case _:
                    continue
            if ast.unparse(annotation) in ("float", "float | None") and not (UNITS | INSTANTS) & _words(name):
                unitless.append(f"{shown(path)}:{node.lineno} {name}")
    assert not unitless, f"say seconds, hours or a share in the name: {unitless}"


def test_a_setting_that_is_a_duration_names_its_unit() -> None:
    unitless = [
        f"{section.__name__}.{name}"
        for section in (config.Settings, *(one for one in config.known_keys().values() if one is not None))
        for name, field in section.model_fields.items()
        if field.annotation is float and not UNITS & _words(name)
    ]
    assert not unitless, unitless


def _is_served(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return parts[0] == "src" and bool({"templates", "static", "messages"} & set(parts))


def test_no_page_and_no_style_asks_another_host_for_anything() -> None:
    """Strict content security, offline installations, no tracking of payers: all that is shown comes from us."""
    found: list[str] = []
    for path in project_files():
        if not _is_served(path) or "licen" in path.name.lower() or (text := text_of(path)) is None:
            continue
        text = NAMESPACE.sub("", _without_comments(path, text))
        found += [f"{shown(path)}: {hit.group()}" for hit in HOST.finditer(text)]
    assert not found, f"served files name other hosts: {found}"


def _without_comments(path: Path, text: str) -> str:
    """Vendored scripts name their home and licence in a comment; a browser does not follow those."""
    if path.suffix in (".js", ".css"):
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    if path.suffix == ".js":
        text = re.sub(r"(?m)(?:^|(?<=[\s;{}]))//(?!\S*[\"'`]).*$", "", text)
    return text


def test_no_card_number_lies_in_the_tree() -> None:
    found: list[str] = []
    for path in project_files():
        if is_vendored(path) or (text := text_of(path)) is None:
            continue
        if path.relative_to(ROOT).parts[0] == "tests":
            text = _without_allowed(text)
        if pan.holds_card_number(text.encode()):
            lines = [number for number, line in enumerate(text.splitlines(), 1) if pan.holds_card_number(line.encode())]
            found.append(f"{shown(path)}, lines {lines}")
    assert not found, f"card numbers, or digits that pass for one: {found}"


def _without_allowed(text: str) -> str:
    for digits in ALLOWED_IN_TESTS:
        text = re.sub(r"(?<!\d)" + "[ .-]?".join(digits) + r"(?!\d)", "(allowed)", text)
    return text


def test_the_allowed_digits_would_be_found_without_the_list() -> None:
    idle = [why for digits, why in ALLOWED_IN_TESTS.items() if not pan.holds_card_number(digits.encode())]
    assert not idle, f"take these off the list: {idle}"


@pytest.mark.parametrize("kind", OUTSIDE)
def test_nothing_points_outside_the_repository(kind: str) -> None:
    pattern = re.compile(OUTSIDE[kind])
    found = [
        f"{shown(path)}:{number}"
        for path in project_files()
        if not is_vendored(path) and (text := text_of(path)) is not None and pattern.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{kind}: {found}"


def test_every_migration_bounds_its_locks_and_says_when_it_runs() -> None:
    folder = ROOT / "src/tenderline/store/sql/migrations"
    numbers: list[str] = []
    for path in sorted(folder.glob("*.sql")):
        assert re.fullmatch(r"\d{4}_(pre|post)_[a-z0-9_]+\.sql", path.name), path.name
        assert "SET LOCAL lock_timeout" in path.read_text("utf-8"), path.name
        numbers.append(path.name[:4])
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)], "numbers run from 0001 without a hole"
