"""How many inputs are generated for the native scanners: 1,000, or KFOOT_EXAMPLES of them."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = settings(
    max_examples=int(os.environ.get("KFOOT_EXAMPLES", "1000")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
