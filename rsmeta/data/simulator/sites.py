"""What an analyst looks for: one painter for each class of the simulated ground.

A new class is one function that paints a `Canvas` and one entry in `SITES`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rsmeta.data.simulator.ground import Canvas, Ground, smooth_noise
from rsmeta.data.simulator.materials import Material

SITE_SIZE = 96
"""Side of the square that a site covers, in pixels."""

Painter = Callable[[np.random.Generator], Ground]


@dataclass(frozen=True)
class Site:
    """A class of the simulator.

    Attributes:
        name: Class name.
        paint: Paints one example of `SITE_SIZE` pixels.
        surroundings: Material around it, which also says where in a scene it may lie.
    """

    name: str
    paint: Painter
    surroundings: tuple[Material, ...]


def _angle(generator: np.random.Generator) -> float:
    return float(generator.uniform(0, np.pi))


def _open_water(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.WATER)
    canvas.ground.tone[:] = canvas.stripes(generator.uniform(6, 20), _angle(generator))
    for _ in range(generator.integers(0, 3)):  # buoys and whitecaps: bright, but no ship
        x, y = generator.uniform(-40, 40, 2)
        canvas.paint(canvas.ellipse(x, y, 3, 2, 0), Material.DECK, 1)
    return canvas.ground


def _field(generator: np.random.Generator) -> Ground:
    crops = [Material.CROP, Material.SOIL, Material.GRASS]
    canvas = Canvas(SITE_SIZE, crops[generator.integers(3)])
    angle = _angle(generator)
    if generator.random() < 0.6:
        x, y = generator.uniform(-20, 20, 2)
        canvas.paint(canvas.half_plane(x, y, angle), crops[generator.integers(3)])
    canvas.ground.tone[:] = generator.uniform(0.5, 2) * canvas.stripes(
        generator.uniform(3, 8), angle
    )
    if generator.random() < 0.3:
        x, y = generator.uniform(-25, 25, 2)
        canvas.paint(canvas.rectangle(x, y, 140, 3, angle), Material.SOIL)
    return canvas.ground


def _forest(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.TREES)
    crowns = smooth_noise((SITE_SIZE, SITE_SIZE), generator.uniform(1.2, 2.5), generator)
    canvas.ground.elevation[:] = np.maximum(0, 12 + 4 * crowns)
    canvas.ground.tone[:] = crowns
    if generator.random() < 0.4:
        x, y = generator.uniform(-35, 35, 2)
        length, width = generator.uniform(10, 30, 2)
        canvas.paint(canvas.ellipse(x, y, length, width, _angle(generator)), Material.GRASS)
    return canvas.ground


def _houses(canvas: Canvas, generator: np.random.Generator, count: int, angle: float) -> None:
    for _ in range(count):
        x, y = generator.uniform(-40, 40, 2)
        length, width = generator.uniform(10, 24), generator.uniform(7, 13)
        roof = Material.RED_ROOF if generator.random() < 0.5 else Material.GREY_ROOF
        turn = angle + (np.pi / 2) * generator.integers(2)
        canvas.paint(
            canvas.rectangle(x, y, length, width, turn),
            roof,
            generator.uniform(5, 22),
            generator.normal(),
        )


def _building_block(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.GRASS if generator.random() < 0.5 else Material.CONCRETE)
    angle = _angle(generator)
    for offset in generator.uniform(-45, 45, 2):
        street = angle + (np.pi / 2) * generator.integers(2)
        canvas.paint(canvas.rectangle(offset, offset, 160, 5, street), Material.ASPHALT)
    _houses(canvas, generator, int(generator.integers(9, 18)), angle)
    return canvas.ground


def _vehicles(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.ASPHALT if generator.random() < 0.6 else Material.SOIL)
    angle = _angle(generator)
    cosine, sine = np.cos(angle), np.sin(angle)
    row_distance, spacing = generator.uniform(9, 14), generator.uniform(3.5, 5.5)
    for across in np.arange(-42, 42, row_distance):
        for along in np.arange(-42, 42, spacing):
            if generator.random() < 0.45:
                continue
            x, y = along * cosine - across * sine, along * sine + across * cosine
            length = generator.uniform(3, 6)
            vehicle = canvas.rectangle(x, y, length, 1.8, angle + np.pi / 2)
            canvas.paint(vehicle, Material.METAL, 2.5, generator.normal(-1, 1))
    return canvas.ground


def _hull(canvas: Canvas, x: float, y: float, length: float, angle: float) -> None:
    width = max(2.5, length / 6)
    cosine, sine = np.cos(angle), np.sin(angle)
    canvas.paint(canvas.rectangle(x, y, 0.75 * length, width, angle), Material.DECK, 5)
    bow = (x + 0.3 * length * cosine, y + 0.3 * length * sine)
    canvas.paint(canvas.ellipse(*bow, 0.5 * length, width, angle), Material.DECK, 5)
    bridge = (x - 0.28 * length * cosine, y - 0.28 * length * sine)
    castle = canvas.rectangle(*bridge, max(2.0, 0.14 * length), 0.8 * width, angle)
    canvas.paint(castle, Material.METAL, 14)


def _ship(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.WATER)
    canvas.ground.tone[:] = canvas.stripes(generator.uniform(6, 20), _angle(generator))
    for number in range(1 + int(generator.random() < 0.25)):
        reach = 12 if number == 0 else 35
        x, y = generator.uniform(-reach, reach, 2)
        _hull(canvas, x, y, generator.uniform(14, 52), generator.uniform(0, 2 * np.pi))
    return canvas.ground


def _storage_tank(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.CONCRETE if generator.random() < 0.5 else Material.SOIL)
    angle, diameter = _angle(generator), generator.uniform(9, 20)
    cosine, sine = np.cos(angle), np.sin(angle)
    distance = 1.35 * diameter
    steps = np.arange(-36, 37, distance)
    for across in steps:
        for along in steps:
            if generator.random() < 0.35:
                continue
            x, y = along * cosine - across * sine, along * sine + across * cosine
            height = generator.uniform(8, 16)
            tone = generator.normal(-0.5, 0.5)
            canvas.paint(canvas.ellipse(x, y, diameter, diameter, 0), Material.METAL, height, tone)
            roof = canvas.ellipse(x, y, 0.75 * diameter, 0.75 * diameter, 0)
            canvas.paint(roof, Material.GREY_ROOF, height - 2)
    return canvas.ground


def _harbour(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.WATER)
    angle = generator.uniform(0, 2 * np.pi)
    normal = (-np.sin(angle), np.cos(angle))
    shore = generator.uniform(0, 14)
    canvas.paint(
        canvas.half_plane(shore * normal[0], shore * normal[1], angle), Material.CONCRETE, 2
    )
    for along in np.arange(-36, 37, generator.uniform(16, 26)):
        reach = generator.uniform(20, 36)
        x = along * np.cos(angle) + (shore - reach / 2) * normal[0]
        y = along * np.sin(angle) + (shore - reach / 2) * normal[1]
        pier = canvas.rectangle(x, y, reach, 4, angle + np.pi / 2)
        canvas.paint(pier, Material.CONCRETE, 2)
        if generator.random() < 0.7:
            beside = (x + 5.5 * np.cos(angle), y + 5.5 * np.sin(angle))
            _hull(canvas, *beside, generator.uniform(12, 24), angle + np.pi / 2)
    for _ in range(generator.integers(4, 10)):
        along, inland = generator.uniform(-40, 40), shore + generator.uniform(6, 30)
        x = along * np.cos(angle) + inland * normal[0]
        y = along * np.sin(angle) + inland * normal[1]
        stack = canvas.rectangle(x, y, generator.uniform(6, 14), 3, angle)
        canvas.paint(stack, Material.METAL, 8, generator.normal(-1, 1))
    return canvas.ground


def _airplane(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.CONCRETE if generator.random() < 0.7 else Material.ASPHALT)
    if generator.random() < 0.4:
        x, y = generator.uniform(-40, 40, 2)
        canvas.paint(canvas.half_plane(x, y, _angle(generator)), Material.GRASS)
    for number in range(int(generator.integers(1, 4))):
        reach = 10 if number == 0 else 36
        x, y = generator.uniform(-reach, reach, 2)
        angle, length = generator.uniform(0, 2 * np.pi), generator.uniform(16, 34)
        ahead = np.array([np.cos(angle), np.sin(angle)])
        aside = np.array([-ahead[1], ahead[0]])
        tone = generator.normal(0, 0.4)
        for side in (-1, 1):  # swept wings
            wing = np.array([x, y]) - 0.05 * length * ahead + side * 0.22 * length * aside
            turn = angle + side * (np.pi / 2 + 0.45)
            shape = canvas.rectangle(
                float(wing[0]), float(wing[1]), 0.46 * length, 0.12 * length, turn
            )
            canvas.paint(shape, Material.METAL, 4, tone)
        tail = np.array([x, y]) - 0.42 * length * ahead
        across = angle + np.pi / 2
        shape = canvas.rectangle(
            float(tail[0]), float(tail[1]), 0.3 * length, 0.09 * length, across
        )
        canvas.paint(shape, Material.METAL, 6, tone)
        canvas.paint(
            canvas.ellipse(x, y, length, max(2.5, 0.13 * length), angle), Material.METAL, 5, tone
        )
    return canvas.ground


def _bridge(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.GRASS if generator.random() < 0.6 else Material.TREES)
    if canvas.ground.material[0, 0] == Material.TREES:
        canvas.ground.elevation[:] = 10
    angle = _angle(generator)
    x, y = generator.uniform(-8, 8, 2)
    river = canvas.rectangle(x, y, 200, generator.uniform(30, 64), angle)
    canvas.paint(river, Material.WATER)
    crossing = angle + np.pi / 2 + generator.normal(0, 0.2)
    width = generator.uniform(4, 8)
    canvas.paint(canvas.rectangle(x, y, 200, width, crossing), Material.ASPHALT, 9)
    for side in (-1, 1):  # parapets
        shift = side * width / 2
        edge = (x - shift * np.sin(crossing), y + shift * np.cos(crossing))
        canvas.paint(canvas.rectangle(*edge, 200, 1.2, crossing), Material.CONCRETE, 11)
    return canvas.ground


def _roundabout(generator: np.random.Generator) -> Ground:
    canvas = Canvas(SITE_SIZE, Material.GRASS if generator.random() < 0.6 else Material.SOIL)
    x, y = generator.uniform(-8, 8, 2)
    _houses(canvas, generator, int(generator.integers(0, 6)), _angle(generator))
    outer, start = generator.uniform(26, 42), _angle(generator)
    arms = int(generator.integers(3, 5))
    for arm in range(arms):
        turn = start + 2 * np.pi * arm / arms
        middle = (x + 45 * np.cos(turn), y + 45 * np.sin(turn))
        canvas.paint(canvas.rectangle(*middle, 90, 5.5, turn), Material.ASPHALT)
    canvas.paint(canvas.ellipse(x, y, outer, outer, 0), Material.ASPHALT)
    island = outer - generator.uniform(11, 15)
    canvas.paint(canvas.ellipse(x, y, island, island, 0), Material.GRASS)
    if generator.random() < 0.5:
        canvas.paint(canvas.ellipse(x, y, 0.4 * island, 0.4 * island, 0), Material.TREES, 6)
    return canvas.ground


_LAND = (Material.GRASS, Material.CROP, Material.SOIL)

SITES: tuple[Site, ...] = (
    Site("open water", _open_water, (Material.WATER,)),
    Site("field", _field, _LAND),
    Site("forest", _forest, (Material.TREES,)),
    Site("building block", _building_block, _LAND),
    Site("vehicles", _vehicles, _LAND),
    Site("ship", _ship, (Material.WATER,)),
    Site("storage tank", _storage_tank, _LAND),
    Site("harbour", _harbour, (Material.WATER,)),
    Site("airplane", _airplane, _LAND),
    Site("bridge", _bridge, (Material.WATER,)),
    Site("roundabout", _roundabout, _LAND),
)
"""All classes, the most frequent first: training counts fall along this order."""

CLASSES: tuple[str, ...] = tuple(site.name for site in SITES)
