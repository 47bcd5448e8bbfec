"""Where it runs: Pulumi, one ComponentResource a concern."""

import sys
from pathlib import Path

# Pulumi runs this folder, and so puts it first on the path, where `import secrets` would find our secrets.py.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _HERE]
