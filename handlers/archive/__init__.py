"""Host side: a checkpoint -> a .mar. Nothing of this folder goes into an archive."""
