"""What a recipe must be like to be trained by several processes with the numbers of one."""

from rsmeta.recipe.losses import Lade
from rsmeta.recipe.training import Compute, InnerLoop, OuterLoop


def require_divisible(
    compute: Compute, inner: InnerLoop, outer: OuterLoop, learns_modulators: bool
) -> None:
    """Check that batches can be shared out.

    Raises:
        ValueError: They cannot, or not without changing the result.
    """
    processes = compute.processes
    if processes == 1:
        return
    sizes = {"inner.batch_size": inner.batch_size}
    if learns_modulators:
        sizes["outer.batch_size"] = outer.batch_size
    for name, size in sizes.items():
        if size % processes:
            raise ValueError(
                f"{name} {size} cannot be shared out among {processes} processes (compute.devices "
                "x num_nodes); choose a multiple"
            )
    if learns_modulators and outer.engine == "unrolled":
        raise ValueError(
            "compute.devices: the engine unrolled runs on one device; set outer.engine to "
            "first_order or finite_difference"
        )
    if isinstance(inner.loss, Lade):
        raise ValueError(
            "compute.devices: the loss lade compares the chips of a batch, which no process has "
            "all of; choose another loss or one device"
        )
