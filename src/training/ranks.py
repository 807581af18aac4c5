"""The processes that train one network together, and what they tell one another.

Image i of a split belongs to rank i % count, which alone keeps it or what the frozen blocks make of
it, and trains and scores it. All ranks draw what one process would draw, add up their gradients,
and so take the same steps from the same weights.

Not by torch's DistributedDataParallel: it adds up gradients while a backward pass runs, so a rank
that memory has no room for could not go back and divide its images (`src.training.accumulation`),
and it holds which parameters train fixed, though a recipe may train the head alone at first.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from src.errors import RankError, UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TIMEOUT = timedelta(minutes=10)  # for another rank, which may compute what is frozen meanwhile
PATIENCE = 5.0  # seconds in which the first rank may tell of an error that others have, too


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together: one by itself unless torchrun started more.

    here: those on this machine, of which this is `local`, counted from 0 like `number`.
    """

    number: int = 0
    count: int = 1
    local: int = 0
    here: int = 1

    @classmethod
    def launched(cls) -> Ranks:
        """As torchrun says in the environment."""
        names = {"number": "RANK", "count": "WORLD_SIZE", "local": "LOCAL_RANK"}
        names["here"] = "LOCAL_WORLD_SIZE"
        if not {*names.values()} <= os.environ.keys():
            return ALONE
        return cls(**{field: int(os.environ[name]) for field, name in names.items()})

    @property
    def first(self) -> bool:
        """Whether it is this process that writes files and tells of the training."""
        return self.number == 0

    def own(self, rows: Tensor) -> Tensor:
        """Those of all rows that belong to this rank."""
        return rows[self.number :: self.count]

    def batches(
        self, rows: Tensor, views: Tensor, size: int, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Batches of `size` of all rows: of each, the own rows, their views, and its whole size.

        On `device`, and counted among the own rows. A batch may have none of them.
        """
        import torch

        mine = rows % self.count == self.number
        whole = [len(part) for part in torch.split(mine, size)]
        batch = mine.nonzero().flatten() // size
        parts = torch.bincount(batch, minlength=len(whole)).tolist()
        own = (rows[mine] // self.count).to(device), views[mine].to(device)
        return zip(*(torch.split(each, parts) for each in own), whole, strict=True)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Make each of some float32 tensors the sum of those of all ranks, in one message."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with self._answered():
            distributed.all_reduce(flat)
        sums = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total.view(tensor.shape))

    def gather(self, own: Tensor) -> Tensor:
        """(count, ...): the tensors of all ranks, which have one shape."""
        import torch
        from torch import distributed

        parts = [torch.empty_like(own) for _ in range(self.count)]
        with self._answered():
            distributed.all_gather(parts, own.contiguous())
        return torch.stack(parts)

    def in_order(self, own: Tensor, rows: int) -> Tensor:
        """(rows, ...): what all ranks have of their own rows, in the order of all rows."""
        if self.count == 1:
            return own
        padded = own.new_zeros(-(-rows // self.count), *own.shape[1:])
        padded[: len(own)] = own
        return self.gather(padded).transpose(0, 1).flatten(0, 1)[:rows]

    def of_first(self, content: memoryview) -> memoryview:
        """What the first rank has for `content`."""
        if self.count == 1:
            return content
        import torch
        from torch import distributed

        size = torch.tensor([len(content)])
        with self._answered():
            distributed.broadcast(size, 0)
        sent = torch.zeros(int(size), dtype=torch.uint8)
        if self.first and content:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with self._answered():
            distributed.broadcast(sent, 0)
        return memoryview(sent.numpy().data)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Let the ranks talk inside the block; of errors that all have, only the first tells."""
        if self.count == 1:
            yield
            return
        from torch import cuda, distributed
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        try:
            with self._answered():
                backend = "cpu:gloo,cuda:nccl" if cuda.is_available() else "gloo"
                store, number, count = next(rendezvous("env://", timeout=TIMEOUT))
                # torchrun keeps the store when it restarts the ranks, with the addresses of those
                # that have ended.
                attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
                distributed.init_process_group(
                    backend,
                    timeout=TIMEOUT,
                    store=PrefixStore(f"attempt {attempt}", store),
                    rank=number,
                    world_size=count,
                )
            yield
        except UserError:
            if not self.first:  # torchrun ends this process once the first has told
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                time.sleep(PATIENCE)
            raise
        distributed.destroy_process_group()

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Raises RankError where another rank does not answer."""
        try:
            yield
        except RuntimeError as error:
            what = f"another rank has ended, or was silent for {TIMEOUT} ({error})"
            mend = "see what it said, and run the command again, which resumes the training"
            raise RankError(f"rank {self.number} of {self.count}", what, mend) from None


ALONE = Ranks()
