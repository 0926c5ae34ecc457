"""From a database and questions to the folder of a reader or an encoder that learned from them."""
