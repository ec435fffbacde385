"""What the scenes run in processes of their own. Imports nothing of them: a program starts in a second."""
