"""The index: immutable inverted-file segments that share one trained template.

``plan`` chooses, ``train`` and ``segments`` build, ``tune`` measures, ``search`` answers, all
over the row-aligned ``vectors``; ``exact`` is the truth they are held to. None of these knows
chunks or encoders. ``stage`` and ``generation`` tie them to a database on disk.
"""
