"""The comparison of the model card: a logistic regression over n-grams of word pieces, trained on each corpus alone.

    python training/toxicity/baseline.py

Features, scaling and ridge are those of the correction in `ngrams.py`; training and held-out parts are those of the model.
"""

from __future__ import annotations

from data import load
from evaluate import roc_auc
from ngrams import BLEND_BUCKETS, BLEND_LONGEST, BLEND_STRENGTH, FOLDER, Regression, matrix, rarity
from scipy import sparse
from transformers import BertTokenizer

MOST = 256


def main() -> None:
    table, tokenizer = load(), BertTokenizer.from_pretrained(FOLDER)
    known = table[table["gold"].notna()]
    print("| corpus | toxic | not | ROC AUC of the comparison |\n|---|---|---|---|")
    for source, rows in known.groupby("source"):
        parts = [rows[rows["split"] == part] for part in ("train", "test")]
        if any(part["gold"].nunique() < 2 for part in parts):
            continue
        train, test = (
            matrix(
                tokenizer(part["text"].tolist(), truncation=True, max_length=MOST)["input_ids"], BLEND_BUCKETS, BLEND_LONGEST
            )
            for part in parts
        )
        rare = sparse.diags(rarity(train))
        model = Regression((train @ rare).tocsr(), parts[0]["gold"].to_numpy(float), BLEND_STRENGTH)
        gold = parts[1]["gold"].to_numpy() == 1
        print(
            f"| {source} | {gold.sum()} | {(~gold).sum()} | {roc_auc(model.logits((test @ rare).tocsr()), gold):.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
