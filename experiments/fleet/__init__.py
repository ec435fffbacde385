"""From one card to many: how many instances of which kind a demand needs, what that costs, how it runs.

What is known of a card comes from results folders, profiles and placements; nothing is measured here.
"""
