"""How do we touch the world? Database, Redis, HTTP, time, secrets, telemetry; each replaceable by a fake that is handed in."""
