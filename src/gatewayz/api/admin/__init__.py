"""Pages for administrators; every one guarded, every change audited."""
