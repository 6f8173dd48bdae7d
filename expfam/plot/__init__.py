"""Pictures of models and fits. Needs matplotlib: `pip install 'expfam[plot]'`.

Functions draw into the axes given (or the current ones) and return them; those of several panels
draw into the figure given (or a new one) and return it. Components have the same colors everywhere,
which any color vision tells apart.
"""

from .curves import anomaly_curve as anomaly_curve
from .curves import criterion_curves as criterion_curves
from .curves import likelihood_curve as likelihood_curve
from .curves import state_timeline as state_timeline
from .models import density_contours as density_contours
from .models import image_row as image_row
from .models import latent_scatter as latent_scatter
from .models import loadings as loadings
from .tables import pairs as pairs
from .tables import profiles as profiles
