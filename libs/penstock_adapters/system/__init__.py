"""The process itself: clock, signals, event loop, log lines, metrics and the operations server."""
