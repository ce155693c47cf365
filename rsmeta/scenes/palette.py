"""Colours of classes: the same in rasters, figures and reports."""

from colorsys import hsv_to_rgb

# Tableau 20 (matplotlib "tab20"), the ten strong colours first, then the ten light ones.
_TABLEAU = (
    "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2 7f7f7f bcbd22 17becf "
    "aec7e8 ffbb78 98df8a ff9896 c5b0d5 c49c94 f7b6d2 c7c7c7 dbdb8d 9edae5"
).split()

_GOLDEN_RATIO = 0.618033988749895


def class_colours(n: int) -> list[tuple[int, int, int]]:
    """Distinct colours for `n` classes, red, green and blue in 0..255.

    The first 20 are Tableau 20; beyond them, hues a golden-ratio step apart at changing
    saturation and brightness. A class keeps its colour when others are added behind it.
    """
    colours = [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in _TABLEAU[:n]]
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
