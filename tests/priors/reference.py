"""What tests of priors share: comparison with references in float64."""

import numpy as np

from tests.registry import FLOAT32

# The least relative error that is asked for: five digits in float32.
LEAST = 1e-5 if FLOAT32 else 0.0


def close(actual, expected, rtol=1e-10, atol=0.0):
    """Compare numbers; in float32, five digits of those that an absolute error may have, too."""
    rtol, atol = max(rtol, LEAST), max(atol, LEAST) if atol > 0 else 0.0
    np.testing.assert_allclose(np.asarray(actual, float), expected, rtol=rtol, atol=atol)
