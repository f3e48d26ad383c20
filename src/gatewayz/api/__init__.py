"""How does one get in? HTTP doors over the rooms: bodies are checked, callers identified, answers shaped."""

import sys

# FastAPI asks of every type whether it is a model of the old pydantic, and loads that package to know: 2 MB of every
# process. Nothing here is one, and what FastAPI does if the package is missing is to answer so.
sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]
