"""What training raises when it stops of its own accord."""


class RunStopped(RuntimeError):  # noqa: N818 - what happened, in the words of the message that users see
    """A run that must not go on; the message says why, what is safe and what to do. Tools print it without a trace."""
