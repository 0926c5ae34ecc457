"""The shortest sentence-transformers script that answers one query: the other side of cold.py.

python st_query.py MODEL_FOLDER INDEX_FILE TEXTS.parquet "some words"
"""

import sys

import faiss
import pyarrow.parquet as pq
from sentence_transformers import SentenceTransformer

model_folder, index_file, texts_file, words = sys.argv[1:]
model = SentenceTransformer(model_folder, device="cpu")
index = faiss.read_index(index_file)
texts = pq.read_table(texts_file, columns=["text"])["text"]
scores, rows = index.search(model.encode([words], normalize_embeddings=True), 5)
for score, row in zip(scores[0], rows[0], strict=True):
    print(f"{score:.3f}  {texts[int(row)]}")
