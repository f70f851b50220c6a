"""Files and lines by folder, beside the budgets: what `make size` prints.

Lines are those of Python files, words those of Markdown; a folder's row counts what lies below it.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = {
    "package": (12_000, "lines"),
    "tests": (12_000, "lines"),
    "docs": (20_000, "words"),
    "benchmarks": (10, "scripts"),
}


def count_lines(files: Iterable[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def count_words(files: Iterable[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").split()) for path in files)


def size_table(root: Path = ROOT) -> str:
    """A row for each folder of the package, then the four totals with their budgets."""
    python = lambda folder: sorted((root / folder).rglob("*.py"))
    package, pages, scripts = python("harmcircuits"), sorted((root / "docs").rglob("*.md")), python("benchmarks")
    rows = [("folder", "files", "size", "", "budget")]
    for folder in sorted({path.relative_to(root / "harmcircuits").parts[0] for path in package}):
        inside = [path for path in package if path.relative_to(root / "harmcircuits").parts[0] == folder]
        rows.append((f"  {folder}", f"{len(inside)}", f"{count_lines(inside):,}", "lines", ""))
    totals = {
        "package": (len(package), count_lines(package)),
        "tests": (len(python("tests")), count_lines(python("tests"))),
        "docs": (len(pages), count_words(pages)),
        "benchmarks": (len(scripts), len(scripts)),
    }
    for name, (files, size) in totals.items():
        budget, unit = BUDGETS[name]
        rows.append((name, f"{files}", f"{size:,}", unit, f"{budget:,}" + (" (over)" if size > budget else "")))
    return "\n".join(f"{name:20}{files:>6}{size:>9} {unit:8}{budget}".rstrip() for name, files, size, unit, budget in rows)


if __name__ == "__main__":
    sys.stdout.write(size_table() + "\n")
