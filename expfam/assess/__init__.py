"""What comes after a fit: choice of a model, uncertainty, quality, anomalies."""

from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .criteria import Criteria as Criteria
from .criteria import criteria as criteria
