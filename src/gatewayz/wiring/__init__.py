"""Who is connected to whom? The only room that names concrete classes; everybody else is handed what it needs."""
