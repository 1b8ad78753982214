"""Results as a page for people: ratios first, then what nobody else's machine will repeat."""

from __future__ import annotations

from tests.bench.report import Figure, Report, Result

_HEAD = """\
# Benchmarks

Written by `make bench`. Ratios compare two ways of doing the same work in one run on one machine, in turns; they are
what to look at. Absolute figures depend on the machine and on what else it does: everything (database, server, clients,
simulated carrier) shares it, so they are lower than a server of its own would give, and they differ between runs by a
factor of two. What was measured before there was a product, to choose its parts, is in
[measurements.md](measurements.md).
"""
_REPEAT = """\
## How to repeat

```sh
make bench                           # everything, about ten minutes; writes this page
make bench ARGS="gate inbox"         # some of it, shown and not written down
make bench ARGS="--quick"            # small sizes, under a minute: does it all still run?
make bench ARGS="--json"             # the same figures for programs, on standard output
make soak                            # calls for an hour against one voice node: does it grow? MINUTES=5 for less
```

All of it runs on the loopback address with a PostgreSQL of its own in a temporary folder (fsync on), and takes
everything away at its end. Nothing is installed and nobody is contacted: the telephone numbers are fictional and the
carrier is simulated. For figures worth comparing leave the machine alone meanwhile; the load average above tells
whether that was so.
"""


def page(report: Report) -> str:
    """The whole of `docs/benchmarks.md`."""
    parts = [_HEAD, _machine(report), _ratios(report.results)]
    parts += [_section(result) for result in report.results]
    parts.append(_REPEAT)
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _machine(report: Report) -> str:
    at = report.machine
    took_min = sum(result.took_s for result in report.results) / 60
    return (
        f"Measured on {at.date}: {at.cores} cores ({at.cpu}), {at.memory_gib:g} GiB, {at.system}, Python {at.python},"
        f" PostgreSQL {at.postgresql}. The disk syncs 8 KB in {at.sync_ms:.2g} ms; a slower one makes one commit for"
        f" many webhooks worth more. It took {took_min:.0f} minutes; figures are medians. Load average"
        f" {at.load_before:.1f} before and {at.load_after:.1f} after.\n"
    )


def _ratios(results: list[Result]) -> str:
    lines = ["## Against the bars, and ratios", "", "| what | figure | bar | runs |", "|---|---|---|---|"]
    for result in results:
        lines += [
            f"| {result.name}: {one.what} | **{number(one)}** | {_bar(one)} | {_runs(one)} |"
            for one in result.figures
            if one.kind == "ratio" or one.bar
        ]
    return "\n".join(lines) + "\n"


def _section(result: Result) -> str:
    lines = [f"## {result.title}", "", result.how, "", "| what (absolute: noisy) | median | runs |", "|---|---|---|"]
    lines += [f"| {one.what} | {number(one)} | {_runs(one)} |" for one in result.figures if one.kind == "absolute"]
    return "\n".join(lines) + "\n"


def number(figure: Figure) -> str:
    """The value with its unit, as exact as it deserves."""
    return f"{_digits(figure.value, figure.kind)}{figure.unit and ' ' + figure.unit}".replace(" /s", "/s")


def _digits(value: float, kind: str) -> str:
    if kind == "count" or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if kind == "ratio" or value < 10 else f"{value:.1f}"


def _runs(figure: Figure) -> str:
    if len(figure.runs) < 2:
        return "one"
    if len(figure.runs) > 6:
        low, high = min(figure.runs), max(figure.runs)
        return f"{len(figure.runs)} runs, {_digits(low, figure.kind)} to {_digits(high, figure.kind)}"
    return ", ".join(_digits(one, figure.kind) for one in figure.runs)


def _bar(figure: Figure) -> str:
    if figure.met is None:
        return ""
    return f"{figure.bar}: {'met' if figure.met else '**missed**'}"
