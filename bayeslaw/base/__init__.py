"""Numbers and words, files, progress and arguments: the lowest floor, without laws, runs or draws."""
