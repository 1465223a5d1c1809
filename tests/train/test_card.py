from nbpipe.train.card import model_card

SCORES = {"accuracy": 0.5, "macro_f1": 0.25}
LABEL = {"precision": 1.0, "recall": 0.5, "f1": 0.667, "documents": 4}


def card(label: str = "a") -> str:
    metrics = {
        "test": SCORES,
        "baselines": {"majority": SCORES},
        "untrained": SCORES,
        "per_class": {label: LABEL},
        "documents": {"train": 7, "validation": 1, "test": 4},
        "verdict": "Yes: better than guessing.",
    }
    return model_card(metrics, {"words": 1200, "labels": 2})


def test_the_card_holds_the_scores_and_the_verdict():
    assert "| bag (this model) | 0.500 | 0.250 |" in card()
    assert "Yes: better than guessing." in card()
    assert "1,200 words" in card()


def test_a_label_stays_in_its_cell():
    line = next(line for line in card("a|b\n# <script>").splitlines() if "script" in line)
    assert line.startswith(r"| a\|b \# \<script\> | 1.000 |")
