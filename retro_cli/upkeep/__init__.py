"""What keeps a database fit: rules put in force and proved, compaction, purges, its history."""
