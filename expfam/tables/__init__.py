"""Tables: data frames as data of a family, and results as frames. Needs narwhals.

`pip install 'expfam[tables]'`. Frames of pandas, polars and pyarrow are read.
"""

from .columns import Column as Column
from .read import read as read
from .schema import Factor as Factor
from .schema import Schema as Schema
from .table import Table as Table
