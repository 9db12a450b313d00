"""Where invocations, journals, state and timers are kept."""
