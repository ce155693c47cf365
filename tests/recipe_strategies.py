"""Recipes drawn over the whole space of their model, as the plain values that a YAML file holds."""

from hypothesis import strategies as st

from rsmeta.recipe import BranchPosition, Position

BACKBONES = ("timm:test_vit", "timm:test_vit2", "timm:test_vit3", "timm:test_vit4")


def mostly(usual, *others):
    """One value most of the time, so that a recipe is not refused for some key every time."""
    return st.sampled_from([*[usual] * (2 * len(others)), *others])


def numbers(low, high):
    return st.floats(low, high, allow_subnormal=False)


def subset(names):
    return st.lists(st.sampled_from(list(map(str, names))), min_size=1, unique=True)


def variants(key, named):
    """One of several sections, told apart by a key."""
    return st.one_of(
        *(
            st.fixed_dictionaries({key: st.just(name)}, optional=options)
            for name, options in named.items()
        )
    )


BLOCKS = {"blocks": st.sampled_from(["all", "last:1", "last:6", [0], [1, 4], [5, 2], "last:9"])}
PRUNING = st.fixed_dictionaries({"every": st.just(1)}, optional={"keep": numbers(0.01, 1)})
ADDITIVE = BLOCKS | {
    "modulators": mostly("learned", "fixed"),
    "gamma": numbers(1e-3, 10),
    "stability": numbers(1e-3, 2),
    "largest_scale": numbers(1e-3, 10),
    "sharing": st.sampled_from(["none", "block", "position", "all"]),
    "pruning": PRUNING,
    "rank": st.integers(1, 9),
}
METHODS = {
    "lora": ADDITIVE
    | {
        "positions": subset(Position),
        "alpha": numbers(0.1, 20),
        "scaling": st.sampled_from(["standard", "rank_stabilized"]),
    },
    "adapter": ADDITIVE | {"positions": subset(BranchPosition)},
    "adaptformer": ADDITIVE,
    "linear_probe": {},
    "bitfit": BLOCKS,
    "layer_norm": BLOCKS,
    "ssf": BLOCKS,
    "vpt_shallow": {"prompts": st.integers(1, 5)},
    "vpt_deep": BLOCKS | {"prompts": st.integers(1, 5)},
    "full": BLOCKS,
    "scratch": {},
}
LOSSES = {
    "cross_entropy": {},
    "logit_adjusted": {"tau": numbers(0, 3)},
    "balanced_softmax": {},
    "class_balanced": {"beta": st.sampled_from([0.0, 0.9, 0.999, 1 - 2**-53])},
    "focal": {"focusing": numbers(0, 5)},
    "ldam": {"max_margin": numbers(0, 2)},
    "lade": {"weight": numbers(0, 1), "penalty": numbers(0, 1)},
}
OPTIMISERS = {
    "sgd": {"momentum": st.sampled_from([0.0, 0.5, 0.9])},
    "adamw": {
        "beta1": st.sampled_from([0.0, 0.9]),
        "beta2": st.sampled_from([0.0, 0.999]),
        "epsilon": st.sampled_from([1e-8, 1e-3]),
    },
}
DATA = st.fixed_dictionaries(
    {
        "source": st.just("simulator"),
        "sensor": st.sampled_from(["optical", "multispectral", "sar"]),
        "crop": st.sampled_from([16, 19, 32]),
        "largest_class": st.integers(1, 4),
        "imbalance": numbers(1, 4),
        "test_per_class": st.just(1),
    },
    optional={"looks": numbers(0.5, 10), "clip": st.sampled_from(["none", "percentiles"])},
)
AUGMENTATION = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "geometry": st.sampled_from(["none", "flips", "quarter_turns", "d4"]),
            "crop_scale": st.sampled_from([[0.6, 1.0], [0.001, 0.01], [1.0, 1.0]]),
            "band_dropout": numbers(0, 0.95),
            "radiometry": st.sampled_from(["none", "sar", "optical"]),
        },
    ),
)
SPECTRAL = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["auto", "matched", "spectral", "luminance", "random"]),
        "mixing": st.sampled_from(["frozen", "trained"]),
        "update_rank": st.integers(1, 4),
    },
)
BACKBONE = st.fixed_dictionaries(
    {"name": st.sampled_from(BACKBONES), "image_size": mostly(16, 32, 48, 40)},
    optional={"spectral": SPECTRAL},
)
HEAD = st.fixed_dictionaries(
    {},
    optional={
        "scale": numbers(0.1, 100),
        "initialisation": st.sampled_from(["class_mean", "linear_probe", "random"]),
    },
)
INNER = st.fixed_dictionaries(
    {"epochs": mostly(1, 2), "batch_size": st.sampled_from([1, 4, 7, 16, 64])},
    optional={
        "accumulate": st.integers(1, 5),
        "optimiser": variants("name", OPTIMISERS),
        "learning_rate": numbers(1e-5, 0.1),
        "warm_up": numbers(0, 0.99),
        "weight_decay": numbers(0, 0.1),
        "loss": variants("name", LOSSES),
        "sampling": st.sampled_from(["all", "class_balanced", "square_root", "effective_number"]),
    },
)
OUTER = st.fixed_dictionaries(
    {"every": st.integers(1, 3), "batch_size": st.integers(1, 12)},
    optional={
        "engine": st.sampled_from(["first_order", "finite_difference", "unrolled"]),
        "learning_rate": numbers(0, 0.5),
        "fraction": numbers(0.01, 0.99),
        "held_out": st.booleans(),
        "most_per_class": st.none() | st.integers(1, 4),
        "resample": st.sampled_from(["epoch", "never"]),
        "final_epochs": mostly(0, 1),
        "restart": mostly(False, True),
        "balanced": st.booleans(),
        "class_prior": mostly("fixed", "learned", "fitted"),
        "class_prior_tolerance": mostly(0, 0.02),
        "batches": st.integers(1, 3),
        "clip": numbers(1e-3, 10),
        "margin": numbers(1e-3, 10),
    },
)
COMPUTE = st.fixed_dictionaries(
    {},
    optional={
        "accelerator": mostly("cpu", "auto", "gpu"),
        "precision": st.sampled_from(["float32", "bfloat16"]),
        "cache_features": mostly(False, True),
        "checkpoint_activations": st.booleans(),
        "checkpoint_every": st.integers(1, 3),
    },
)
RECIPES = st.fixed_dictionaries(
    {
        "name": st.just("drawn"),
        "seed": st.integers(0, 2**31 - 1),
        "data": DATA,
        "backbone": BACKBONE,
        "peft": variants("method", METHODS),
        "inner": INNER,
        "outer": OUTER,
        "loggers": st.just([]),
    },
    optional={"augmentation": AUGMENTATION, "head": HEAD, "compute": COMPUTE},
)

# A number of a recipe may be anything that its bounds allow.
_ANY = st.one_of(
    st.sampled_from([0.0, 1e-320, 1e-45, 1e-30, 1e30, 3.5e38, 1e300, float("inf"), float("nan")]),
    st.floats(),
)
NUMBERS = (
    ("head", "scale"),
    ("inner", "learning_rate"),
    ("inner", "weight_decay"),
    ("inner", "loss", "tau"),
    ("inner", "optimiser", "epsilon"),
    ("outer", "learning_rate"),
    ("outer", "fraction"),
    ("outer", "clip"),
    ("outer", "margin"),
    ("peft", "gamma"),
    ("peft", "stability"),
    ("peft", "largest_scale"),
    ("peft", "alpha"),
    ("data", "imbalance"),
    ("data", "looks"),
)
EXTREMES = st.tuples(st.sampled_from(NUMBERS), _ANY)
