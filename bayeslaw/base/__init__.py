"""The ground: words and numbers, files, progress, arguments. Knows nothing of laws, runs or draws."""
