from rsmeta.palette import class_colours


def test_colours_are_distinct_and_stable():
    colours = class_colours(254)
    assert len(set(colours)) == 254
    assert all(0 <= part <= 255 for colour in colours for part in colour)
    assert class_colours(7) == colours[:7]
