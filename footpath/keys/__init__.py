"""Who may write and read: keys, where they are kept, and the ring of them that each server process holds."""
