"""The inference routes: raw ASGI, so that nothing stands between a request and the pipeline."""
