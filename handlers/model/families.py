"""The families of encoders that the text handlers serve, by the `model_type` of their config.json.

Names only: archives are checked against them before torch is imported.
"""

# Served with our short cuts: simplified.py and packed.py were made for them, and encoder.py's mask is theirs.
TUNED = ("albert", "bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")

# Served plain, exactly as transformers has them, whatever `tuned` says: their attention is of another kind.
PLAIN = ("deberta-v2", "modernbert", "mpnet")

# Those that count positions from behind the id of their padding: of the positions that their config names,
# so many are never used.
COUNT_AFTER_PADDING = ("camembert", "mpnet", "roberta", "xlm-roberta")
