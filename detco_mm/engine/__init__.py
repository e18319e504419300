"""What turns a config into a run: hooks, loop, optimizer wrapper, settings from the command line, errors."""
