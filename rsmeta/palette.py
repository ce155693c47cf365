"""Colours of classes: the same in rasters, figures and reports."""

from colorsys import hsv_to_rgb

# Tableau 20 (matplotlib "tab20"), the ten strong colours first, then the ten light ones.
_TABLEAU = (
    *((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)),
    *((140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207)),
    *((174, 199, 232), (255, 187, 120), (152, 223, 138), (255, 152, 150), (197, 176, 213)),
    *((196, 156, 148), (247, 182, 210), (199, 199, 199), (219, 219, 141), (158, 218, 229)),
)

_GOLDEN_RATIO = 0.618033988749895


def class_colours(n: int) -> list[tuple[int, int, int]]:
    """Distinct colours for `n` classes, red, green and blue in 0..255.

    The first 20 are Tableau 20; beyond them, hues a golden-ratio step apart at changing
    saturation and brightness. A class keeps its colour when others are added behind it.
    """
    colours = list(_TABLEAU[:n])
    seen = set(colours)
    step = 0
    while len(colours) < n:
        hue = step * _GOLDEN_RATIO % 1.0
        rgb = hsv_to_rgb(hue, (0.9, 0.6, 0.75)[step % 3], (0.9, 0.65, 0.4)[step // 3 % 3])
        colour = (round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2]))
        step += 1
        if colour not in seen:
            seen.add(colour)
            colours.append(colour)
    return colours
