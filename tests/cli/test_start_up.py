import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "rasterio", "geopandas", "pandas", "matplotlib", "timm", "numpy")


@pytest.mark.parametrize("module", ["rsmeta", "rsmeta.cli"])
def test_nothing_heavy_is_imported_before_a_command_needs_it(module):
    code = f"import sys, {module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
