"""The commands, one a module. Each is a thin layer: it reads its options, calls the rooms below and prints."""
