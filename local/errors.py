"""Why the laptop's stack cannot run.

CannotRun              the sentence names the thing and the next step
├── AlreadyRunning     another `up` holds the state directory
├── StateDirUnusable   the file system refuses it
├── StateDamaged       what ministack saved cannot be read back
├── NotSaved           everything ended, and ministack has not written its state
├── PortTaken          somebody else listens there
├── InstallFailed      ministack's environment could not be made
├── SetupFailed        ministack runs, but a resource did not come to be
└── ChildDied          a program ended that should run
"""


class CannotRun(Exception):
    """An expected failure of `up`: print it and end with exit code 1."""


class AlreadyRunning(CannotRun):
    pass


class StateDirUnusable(CannotRun):
    pass


class StateDamaged(CannotRun):
    pass


class NotSaved(CannotRun):
    pass


class PortTaken(CannotRun):
    pass


class InstallFailed(CannotRun):
    pass


class SetupFailed(CannotRun):
    pass


class ChildDied(CannotRun):
    pass


class StopRequested(Exception):
    """Somebody asked for the end: not a failure."""
