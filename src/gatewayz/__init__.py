"""gatewayz: one API key, every model, automatic reliability, one exact bill."""

__version__ = "0.1.0"
