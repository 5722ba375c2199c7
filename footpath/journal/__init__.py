"""The journal: where an accepted batch is durable first. Small, recent, indexed by user."""
