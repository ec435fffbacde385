"""Host side: how far an engine's answers are from torch's in fp32, told and noted in the archive."""
