"""What is measured: an archive, the inputs it is fed, the card it runs on.

Nothing here starts anything; what is done with a bench lies in ceilings/ and measure/.
"""
