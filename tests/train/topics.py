"""Made texts of three topics, for tests that need a corpus to learn from."""

import numpy as np

TOPICS = {
    "cooking": "oven butter flour sugar recipe bake dough salt taste kitchen spoon simmer",
    "sailing": "wind sail harbour mast anchor deck tide rope crew port hull drift",
    "sky": "star orbit planet telescope galaxy comet light dust moon nebula lens zenith",
}


def made_texts(each: int = 20) -> dict[str, str]:
    """Return texts by path: each topic has words of its own, and all share some."""
    chance = np.random.default_rng(0)
    return {
        f"{topic}/{index:02d}.txt": " ".join(
            str(chance.choice(words.split())) if step % 3 else f"shared{chance.integers(9)}" for step in range(40)
        )
        + f" number{index} {topic[0]}{index}x"
        for topic, words in TOPICS.items()
        for index in range(each)
    }
