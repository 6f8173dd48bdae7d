"""What comes after a fit: choice of a model, uncertainty, quality, anomalies."""

from .agreement import adjusted_rand_index as adjusted_rand_index
from .agreement import contingency as contingency
from .agreement import normalized_mutual_information as normalized_mutual_information
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
from .merging import Merging as Merging
from .merging import merge_components as merge_components
from .ratio_test import RatioTest as RatioTest
from .ratio_test import bootstrap_ratio_test as bootstrap_ratio_test
from .report import Report as Report
from .report import report as report
from .uncertainty import IdentifiabilityWarning as IdentifiabilityWarning
from .uncertainty import StandardErrors as StandardErrors
from .uncertainty import confidence_intervals as confidence_intervals
from .uncertainty import standard_errors as standard_errors
