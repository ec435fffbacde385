"""The arrays that figures are calculated with."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
