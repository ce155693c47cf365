import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "rasterio", "geopandas", "pandas", "matplotlib", "timm", "numpy")


@pytest.mark.parametrize("module", ["rsmeta", "rsmeta.cli"])
def test_nothing_heavy_is_imported_before_a_command_needs_it(module):
    code = f"import sys, {module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_asks_no_server():
    code = (
        "import sys; asked = []\n"
        "def hear(event, values):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'): asked.append(values)\n"
        "sys.addaudithook(hear)\n"
        "import rsmeta.finetuning, rsmeta.prediction\n"
        "print(asked)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
