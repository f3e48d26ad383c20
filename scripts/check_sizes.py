"""Fails if a source file is longer than 500 lines or a function longer than 60."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "src"
MAX_FILE, MAX_FUNCTION = 500, 60

problems = []
for path in sorted(ROOT.rglob("*.py")):
    if "versions" in path.parts:
        continue  # migrations are written once and never changed
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines > MAX_FILE:
        problems.append(f"{path.relative_to(ROOT)}: {lines} lines, more than {MAX_FILE}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION:
                problems.append(
                    f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines, more than {MAX_FUNCTION}"
                )
print("\n".join(problems) or "sizes are within the limits")
sys.exit(bool(problems))
