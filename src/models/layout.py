"""What is wrong with a set of tensors that should fill a network, in words that name them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

NAMED = 4  # names at most, for a message of one line


def differences(layout: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Names that `state` lacks, has too many of, or has in another shape; "" where there are none.

    `layout` may be on the meta device: only names and shapes of it count.
    """
    wrong = {
        "missing": layout.keys() - state.keys(),
        "unknown": state.keys() - layout.keys(),
        "of another shape": {
            name for name in layout.keys() & state.keys() if layout[name].shape != state[name].shape
        },
    }
    return "; ".join(f"{kind}: {some(sorted(names))}" for kind, names in wrong.items() if names)


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    return sorted(name for name, tensor in state.items() if not tensor.isfinite().all())


def some(names: list[str]) -> str:
    """The first of `names`, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
