"""How fast is it? One run, one load, one upstream, for the gateway, its floor and its peers: `make bench`."""
