"""Programs on disk serve the next process; importing the library loads nothing that it may not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import jax, expfam as ef
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
jax.numpy.zeros(3) + 1  # JAX has compiled before the cache is asked for
print(ef.enable_compilation_cache({path}))
ef.Poisson().entropy(ef.Natural(jax.numpy.asarray(0.5)))
print(sum(event == "/jax/compilation_cache/cache_hits" for event in hits))
"""


def run(program: str, **environment: str) -> list[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    command = [sys.executable, "-c", program]
    environment = {**clean, "EXPFAM_TYPECHECK": "0", **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


@pytest.mark.slow
def test_second_process_compiles_nothing(tmp_path: Path) -> None:
    program = PROGRAM.format(path=repr(str(tmp_path / "a" / "b")))
    folder, hits = run(program)
    assert folder == str(tmp_path / "a" / "b")
    assert hits == "0"
    kept = {path.name for path in (tmp_path / "a" / "b").iterdir() if path.name.endswith("-cache")}
    assert kept
    _, hits = run(program)
    assert int(hits) == len(kept)


@pytest.mark.slow
def test_folder_is_that_of_jax_or_of_the_user(tmp_path: Path) -> None:
    program = "import expfam as ef; print(ef.enable_compilation_cache())"
    assert run(program, XDG_CACHE_HOME=str(tmp_path))[0].startswith(str(tmp_path))
    mine = str(tmp_path / "mine")
    assert run(program, JAX_COMPILATION_CACHE_DIR=mine) == [mine]


def test_import_loads_only_what_it_needs() -> None:
    program = (
        "import sys, jax, equinox, optax; before = set(sys.modules); import expfam; "
        "print(*set(sys.modules) - before)"
    )
    loaded = {name.split(".")[0] for name in run(program)}
    assert not loaded & {"matplotlib", "optimistix", "lineax", "sklearn", "tqdm", "pandas"}
