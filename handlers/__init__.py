"""What runs inside a TorchServe worker, and what packs it into archives. Imports no other package here."""
