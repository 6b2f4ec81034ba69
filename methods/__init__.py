"""The alignment methods, one file each; the file name is the name of the method everywhere."""
