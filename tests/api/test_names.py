import pytest

import rsmeta


def test_every_name_is_there():
    assert dir(rsmeta) == rsmeta.__all__ == sorted(rsmeta.__all__)
    for name in rsmeta.__all__:
        assert getattr(rsmeta, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'rsmeta' has no attribute 'finetuned'"):
        rsmeta.finetuned  # noqa: B018


def test_torch_is_not_loaded_before_a_model_is_needed(rsmeta_python):
    code = """
import sys, rsmeta as rs
dir(rs)
recipe = rs.Recipe(name="a", data={"source": "simulator"})
recipe._repr_html_()
print(*({"torch", "lightning", "rasterio", "timm", "matplotlib"} & set(sys.modules)))
"""
    assert rsmeta_python(code).strip() == ""
