"""Set up of all tests; runs before `expfam` is imported.

EXPFAM_TYPECHECK=0 leaves out the checks of shapes and types, EXPFAM_FLOAT32=1 runs in float32.
"""

import gc
import itertools
import os
from importlib.metadata import version
from pathlib import Path
from typing import Self

# Without bytecode on disk, every worker and script would compile JAX and SciPy from their sources.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parents[1] / ".jax_cache" / "bytecode")
# Two workers share the cores already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Compiles in half of the time. XLA ends the process where it does not know a flag.
if version("jaxlib") == "0.10.2":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_opt_preset=FAST_COMPILE"
        " --xla_cpu_parallel_codegen_split_count=1",
    )
elif version("jaxlib").startswith(("0.8.", "0.9.", "0.10.")):
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

import equinox as eqx
import jax
import jaxtyping
import pytest
from beartype import BeartypeConf, FrozenDict, beartype
from xdist.scheduler import LoadScopeScheduling

# beartype understands `Self` only where it decorates whole classes; the hook decorates methods.
check = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({Self: eqx.Module})))

if os.environ.get("EXPFAM_TYPECHECK") != "0":
    jaxtyping.install_import_hook("expfam", f"{__name__}.check")

jax.config.update("jax_enable_x64", os.environ.get("EXPFAM_FLOAT32") != "1")
# Tracing makes many objects that stay: looking through them again and again finds no garbage.
gc.set_threshold(100_000, 50, 100)
# The tests compile much and run little.
jax.config.update("jax_disable_most_optimizations", True)


CACHE = Path(__file__).parents[1] / ".jax_cache"
_LONG = ("/test_laws.py", "/test_monotone.py", "/test_float32.py", "/test_acceleration.py")
_teardowns = itertools.count()


class _ByInstance(LoadScopeScheduling):
    """One worker for one file; long files are shared out by instance."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        instance = name.partition("[")[2].rstrip("]").partition("-")[0]
        return f"{path}[{instance}]" if instance and path.endswith(_LONG) else path


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs from run to run; `expfam` needs this file for its hook."""
    # What shares tests out to workers runs none.
    if "PYTEST_XDIST_WORKER" in os.environ or not config.getoption("numprocesses"):
        import expfam as ef

        ef.enable_compilation_cache(CACHE)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return _ByInstance(config, log)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Forget compiled programs before their memory maps, hundreds each, reach the system's limit.

    Past the limit (65530 for a process, on Linux) the compiler ends the process.
    """
    maps = Path("/proc/self/maps")
    if next(_teardowns) % 5 == 0 and maps.exists() and maps.read_bytes().count(b"\n") > 40_000:
        jax.clear_caches()
