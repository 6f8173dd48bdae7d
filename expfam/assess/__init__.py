"""What comes after a fit: choice of a model, uncertainty, quality, anomalies."""

from .anomalies import AnomalyCurves as AnomalyCurves
from .anomalies import Threshold as Threshold
from .anomalies import anomaly_curves as anomaly_curves
from .anomalies import anomaly_scores as anomaly_scores
from .anomalies import explain as explain
from .anomalies import threshold as threshold
from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .criteria import Criteria as Criteria
from .criteria import criteria as criteria
from .uncertainty import IdentifiabilityWarning as IdentifiabilityWarning
from .uncertainty import StandardErrors as StandardErrors
from .uncertainty import confidence_intervals as confidence_intervals
from .uncertainty import standard_errors as standard_errors
