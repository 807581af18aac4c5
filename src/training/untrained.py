"""The network of a job before training, and the result that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from src.data.faceset import Split
from src.models.network import Network
from src.models.trainable import trained_blocks, unfreeze
from src.training.job import TrainingJob
from src.training.result import Epoch, TrainingResult, choose
from src.training.temperature import fit_temperature


@dataclass(frozen=True)
class Untrained:
    """A network with its `trained` blocks unfrozen, and a copy of its parameters before training.

    Training changes `network` in place.
    """

    job: TrainingJob
    network: Network
    trained: frozenset[str]
    before: Mapping[str, Tensor]
    trainable: int

    @classmethod
    def of(cls, job: TrainingJob) -> Untrained:
        """Source weights under a new head, on the job's device."""
        network = job.network()
        trained = trained_blocks(network, job.experiment.train, job.recipe)
        before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
        unfreeze(network, trained, job.recipe.batchnorm)
        trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return cls(job, network, trained, before, trainable)

    def result(self, history: tuple[Epoch, ...], logits: Tensor) -> TrainingResult:
        """The result, once the network holds the weights of the chosen epoch.

        `logits` are those that it then gives the validation images, which calibrate it.
        """
        _, labels = self.job.starting_point.faces.mapped(Split.val)
        parameters = dict(self.network.named_parameters())
        return TrainingResult(
            self.network.state_dict(),
            replace(self.job.spec(), temperature=fit_temperature(logits, labels)),
            history,
            choose(history, self.job.recipe.select),
            self.trained,
            len(self.job.starting_point.faces.rows(Split.val)),
            self.trainable,
            sum(p.numel() for p in parameters.values()),
            {
                name: (parameters[name].detach() - tensor).norm().item()
                for name, tensor in self.before.items()
            },
        )
