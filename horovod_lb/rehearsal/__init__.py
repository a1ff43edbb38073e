"""Stand-ins for batch systems: real executables with the documented grammar, on this machine.

They are an independent check of the job scripts and commands that `schedulers` makes, and share no code with
it. `install` puts them into a folder; its `bin/` comes first on PATH.
"""

from __future__ import annotations
