"""Estimators of scikit-learn. Needs scikit-learn: `pip install 'expfam[sklearn]'`."""

try:
    import sklearn as _needed  # noqa: F401
except ImportError as error:
    raise ImportError(
        "expfam.sklearn needs scikit-learn; install it with pip install 'expfam[sklearn]'."
    ) from error

from .classifiers import AbstainingClassifier as AbstainingClassifier
from .classifiers import BayesClassifier as BayesClassifier
from .factor_analysis import FactorAnalysis as FactorAnalysis
from .gaussian_mixture import GaussianMixture as GaussianMixture
from .mixtures import HierarchicalMixture as HierarchicalMixture
from .mixtures import MixtureModel as MixtureModel
from .outliers import AnomalyDetector as AnomalyDetector
from .outliers import Imputer as Imputer
