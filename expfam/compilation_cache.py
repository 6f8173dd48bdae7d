"""Compiled programs kept on disk, so that the next process need not compile them again."""

import os
import sys
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache


def enable_compilation_cache(path: str | Path | None = None) -> Path:
    """Keep compiled programs on disk: the next process that needs one reads it instead.

    A program is found again where the model, the sizes of the data, and the versions of JAX are the
    same. All programs are kept, also small ones, of which a first fit has many. The folder may be
    removed at any time.

    Call it before anything else; it changes settings of JAX, for all of the process.

    Args:
        path: the folder; it is made where it does not exist. By default the one that JAX is set to
            (`JAX_COMPILATION_CACHE_DIR`), or else `expfam` in the user's folder of caches.

    Returns:
        The folder.

    Raises:
        OSError: a folder that cannot be made.
    """
    chosen = path or jax.config.jax_compilation_cache_dir or _user_caches() / "expfam"  # pyright: ignore[reportAttributeAccessIssue] JAX defines its settings at run time
    folder = Path(chosen).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX decides once, when it first compiles, whether and where there is a cache.
    compilation_cache.reset_cache()
    return folder


def _user_caches() -> Path:
    match sys.platform:
        case "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        case "darwin":
            return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
