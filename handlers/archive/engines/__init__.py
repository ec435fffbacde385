"""Host side: what an archive gets so that other engines than torch can serve it."""
