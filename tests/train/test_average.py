from copy import deepcopy

import pytest
import torch
from torch import nn

from nbpipe.train.average import Average


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(6, 2), nn.Linear(2, 2))


def walk(network: nn.Module, average: Average, table: bool) -> list[torch.Tensor]:
    """Change the linear layer and some rows in 30 steps, and return the means as they would be kept plainly."""
    means = [weight.detach().clone() for weight in network.parameters()]
    for step in range(1, 31):
        rows = torch.tensor([step % 3, 3]) if step < 20 else torch.tensor([4])
        if table:
            average.before(rows)
        with torch.no_grad():
            network[0].weight[rows] += 1
            network[1].weight.mul_(1.1)
        average.after(rows if table else None)
        share = min(average.share, step / (step + 9))
        means = [share * mean + (1 - share) * now for mean, now in zip(means, network.parameters(), strict=True)]
    return [mean.detach() for mean in means]


@pytest.mark.parametrize("table", [True, False])
def test_the_mean_is_that_of_looking_at_every_weight_in_every_step(network: nn.Module, table: bool):
    average, copy = Average(network, network[0].weight if table else None, 0.95), deepcopy(network)
    expected = walk(network, average, table)
    average.fill(copy)
    assert all(torch.allclose(mean, found) for mean, found in zip(expected, copy.parameters(), strict=True))


def test_filling_a_copy_leaves_the_network_alone(network: nn.Module):
    average, before = Average(network, network[0].weight, 0.95), [w.detach().clone() for w in network.parameters()]
    average.fill(deepcopy(network))
    assert all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))
