"""What the whole run shares: the command line, and the folder with the certificates.
Set once by __main__ before anything else is called."""

ARGS = None      # the command line
PKI = None       # folder with the certificates
