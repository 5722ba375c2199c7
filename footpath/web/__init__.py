"""The HTTP face. What crosses it is decided in the rooms below; here it is read, answered and streamed."""
