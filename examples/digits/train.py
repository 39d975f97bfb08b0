"""Train a small neural network: data/train.npz → models/hidden-N.pkl.

python train.py --hidden 32 [--epochs 20] [--seed 7]
"""

import argparse
import pickle
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

import cmf

parser = argparse.ArgumentParser()
parser.add_argument("--hidden", type=int, required=True, help="neurons of the hidden layer")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=7)
settings = parser.parse_args()

TRAIN = Path("data/train.npz")
MODEL = Path(f"models/hidden-{settings.hidden}.pkl")

with cmf.run("digits", "train", params=vars(settings)) as run:
    run.input(TRAIN)
    digits = np.load(TRAIN)
    # Everything random comes from the seed: the same data and parameters give the same bytes, and so the same key.
    model = MLPClassifier(hidden_layer_sizes=(settings.hidden,), learning_rate_init=0.01, random_state=settings.seed)
    for epoch in range(settings.epochs):
        model.partial_fit(digits["pixels"], digits["labels"], classes=np.arange(10))
        run.metric("loss", model.loss_, step=epoch)
    MODEL.parent.mkdir(exist_ok=True)
    MODEL.write_bytes(pickle.dumps(model, protocol=5))
    run.output(MODEL, type="Model", framework="scikit-learn")

print(f"{settings.epochs} epochs, loss {model.loss_:.4f} → {MODEL}")
