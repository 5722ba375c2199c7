"""Import: files of batches or of exported actions -> chunks -> the journal of a folder, or a running server."""
