"""The journal of a prediction by itself: what a damaged or unwritable one does."""

import random

import numpy as np
import pytest

from rsmeta.errors import SceneError
from rsmeta.scenes.journal import Journal
from rsmeta.scenes.work import UnitResult

ROWS = range(4)


def result():
    generator = np.random.default_rng(0)
    return UnitResult(
        row=np.repeat(np.arange(4, dtype=np.int32), 12),
        column=np.tile(np.arange(12, dtype=np.int32), 4),
        valid_fraction=generator.random(48),
        probabilities=generator.random((48, 4)).astype(np.float32),
        valid=generator.integers(0, 255, (40, 9), dtype=np.uint8),
    )


def test_a_unit_with_any_bytes_changed_is_itself_or_named_as_damaged(tmp_path):
    """Zip, zlib and numpy each have errors of their own for what does not fit."""
    expected, choice = result(), random.Random(0)
    with Journal(tmp_path, "scene", "key") as journal:
        journal.store(ROWS, expected)
        [file] = tmp_path.glob(".rsmeta-scene/key/*.npz")
        whole, damaged = file.read_bytes(), 0
        for _ in range(300):
            content = bytearray(whole)
            for _ in range(choice.choice([1, 3, 10])):
                content[choice.randrange(len(content))] = choice.randrange(256)
            file.write_bytes(content)
            try:
                found = journal.load(ROWS)
            except SceneError as error:
                assert "is damaged; delete" in str(error)
                damaged += 1
            else:
                np.testing.assert_array_equal(found.probabilities, expected.probabilities)
                np.testing.assert_array_equal(found.valid, expected.valid)
    assert damaged > 200


def test_a_journal_that_cannot_be_made_is_not_in_use_afterwards(tmp_path):
    journal, blocker = Journal(tmp_path, "scene", "key"), tmp_path / ".rsmeta-scene" / "key"
    blocker.parent.mkdir()
    blocker.write_text("no folder")
    with pytest.raises(SceneError, match="cannot write"):
        journal.__enter__()
    blocker.unlink()
    with Journal(tmp_path, "scene", "key") as other:
        assert other.stage.is_dir()
