"""Draw the pictures named on the command line, or all, into docs/images/families."""

import sys

import matplotlib as mpl

from .pages import PICTURES, draw

mpl.use("Agg")
for name in sys.argv[1:] or PICTURES:
    print(draw(name))
