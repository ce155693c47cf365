import pytest
import torch

from rsmeta.models.fixed_groups import group_size, in_groups


@pytest.mark.parametrize("count", [1, 3, 4, 5, 11])
def test_every_group_has_one_size_and_every_image_its_result(count):
    seen = []

    def compute(group):
        seen.append(len(group))
        return group.flatten(1).sum(dim=1, keepdim=True)

    images = torch.arange(count * 6.0).view(count, 1, 2, 3)
    found = in_groups(compute, images, 4)
    assert found.equal(images.flatten(1).sum(dim=1, keepdim=True))
    assert set(seen) == {4}
    assert len(seen) == -(-count // 4)


@pytest.mark.parametrize(
    ("tokens", "size"),
    [(1, 64), (8, 64), (16, 32), (25, 32), (64, 8), (196, 4), (1369, 1)],
)
def test_groups_are_powers_of_two_that_keep_a_matmul_busy(tokens, size):
    assert group_size(tokens) == size
