"""faceline: stages of the pipeline, and the libraries they are made of.

OpenMP's threads wait asleep rather than spinning: on a machine that others use too, spinning makes
a training step several times slower, and on one of its own it gains next to nothing.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
