"""The JSON gateway: translates the documented JSON over HTTP into calls of the generated stubs, and back.

Knows the wire only: no rule of sessions or signing is here, and nothing of `service` is imported.
"""

import sys
from importlib import import_module

if "rich" not in sys.modules:
    # structlog would import it for tracebacks that are never shown here, and every server keep 5 MB of it.
    sys.modules["rich"] = None  # type: ignore[assignment]
    import_module("structlog")
    del sys.modules["rich"]
