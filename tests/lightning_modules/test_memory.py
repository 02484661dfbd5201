"""Freed memory of tensors stays with the process that trains."""

import platform
import subprocess
import sys

import pytest

_PAGE_FAULTS = """
import resource, sys
import torch
from lightning_modules.training.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(64 << 18)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_tensors_are_used_again() -> None:
    made = subprocess.run([sys.executable, "-c", _PAGE_FAULTS], capture_output=True, text=True, check=True)
    first, after = map(int, made.stdout.split())
    assert first > 100
    assert after < first / 10
