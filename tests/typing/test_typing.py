"""A type checker tells natural from mean coordinates."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PASS, FAIL = HERE / "must_pass.py", HERE / "must_fail.py"


@pytest.fixture(scope="module")
def errors():
    """Line numbers of the errors of each file."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    run = subprocess.run(
        [*command, str(PASS), str(FAIL)], capture_output=True, text=True, cwd=HERE.parents[1]
    )
    if run.returncode not in (0, 1):
        pytest.skip(f"pyright does not start: {run.stderr.strip()[-200:]}")
    found = {PASS.name: {}, FAIL.name: {}}
    for entry in json.loads(run.stdout)["generalDiagnostics"]:
        if entry["severity"] == "error":
            line = entry["range"]["start"]["line"] + 1
            found[Path(entry["file"]).name][line] = entry["message"]
    return found


def test_right_code_is_accepted(errors):
    assert errors[PASS.name] == {}


def test_wrong_charts_are_rejected_and_nothing_else_is(errors):
    lines = FAIL.read_text().splitlines()
    marked = {i for i, line in enumerate(lines, 1) if line.endswith("# rejected")}
    assert len(marked) > 20
    assert errors[FAIL.name].keys() == marked
