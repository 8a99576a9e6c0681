"""What holds for every test."""

import signal

# A shell starts what it puts into the background deaf to Ctrl-C, and children inherit that: tests
# that interrupt a run would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
