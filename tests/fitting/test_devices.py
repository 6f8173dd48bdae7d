"""Rows on several devices and hosts: the fits of one device, to rounding, and only sums travel."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SECONDS = 300


def start(program, devices, *arguments):
    """Start a program of this folder in a process of its own."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(HERE.parents[1] / ".jax_cache"),
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_ENABLE_X64": "1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(HERE.parents[1]),
        "XLA_FLAGS": flags,
    }
    return subprocess.Popen(
        [sys.executable, HERE / program, *map(str, arguments)],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    try:
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (printed, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-3000:]
        # Gloo prints what it connects to.
        assert printed.split()[-1] == "equal"


def test_eight_devices():
    finish(start("eight_devices.py", 8))


@pytest.mark.skipif(sys.platform == "win32", reason="gloo is not built for Windows")
def test_two_hosts():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finish(*(start("two_hosts.py", 2, number, port) for number in range(2)))
