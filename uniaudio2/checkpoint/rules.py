"""How published parameter names become ours: a table of rules, and what they left over.

A rule matches a whole published name; its target is our name, or None with a reason when the
tensor is not needed. A name that no rule matches is reported, never dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

_WEIGHT_NORM = (
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    (".weight_g", ".weight_v"),
)


@dataclass(frozen=True)
class Rule:
    """One line of a name table.

    Attributes:
        pattern: regular expression for the whole published name.
        target: our name (may use the pattern's groups), or None to leave the tensor out.
        reason: why it is left out; empty when it is used.
        change: applied to the tensor before it is stored.
    """

    pattern: str
    target: str | None
    reason: str = ""
    change: Callable[[Tensor], Tensor] | None = None


@dataclass
class Mapped:
    """What a name table made of a published state dict."""

    state: dict[str, Tensor] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def fold_weight_norm(state: Mapping[str, Tensor], keep: Iterable[str] = ()) -> dict[str, Tensor]:
    """Replace every weight-norm pair (magnitude g, direction v) by the weight ``g * v / ||v||``.

    The norm runs over all axes but the first, as torch's weight norm with ``dim=0`` does.

    Args:
        state: published names to tensors.
        keep: prefixes of modules whose pairs stay as they are, in the newer spelling
            (stock modules that carry the parametrization themselves).

    Raises:
        ValueError: a direction without its magnitude.
    """
    kept = tuple(keep)
    folded: dict[str, Tensor] = {}
    new_g, new_v = _WEIGHT_NORM[0]
    for name, tensor in state.items():
        for g_suffix, v_suffix in _WEIGHT_NORM:
            if name.endswith((g_suffix, v_suffix)):
                is_g = name.endswith(g_suffix)
                stem = name[: -len(g_suffix if is_g else v_suffix)]
                if stem.startswith(kept) and kept:
                    folded[stem + (new_g if is_g else new_v)] = tensor
                elif not is_g:
                    if stem + g_suffix not in state:
                        raise ValueError(f"{name} has no {stem + g_suffix}; the file is incomplete")
                    g = state[stem + g_suffix]
                    norm = torch.linalg.vector_norm(
                        tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True
                    )
                    folded[stem + ".weight"] = tensor * (g / norm)
                break
        else:
            folded[name] = tensor
    return folded


def apply_rules(state: Mapping[str, Tensor], rules: Sequence[Rule]) -> Mapped:
    """Rename a published state dict; the first rule that matches a name decides.

    Raises:
        ValueError: two published names arrive at the same name of ours.
    """
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    mapped = Mapped()
    for name, tensor in state.items():
        for pattern, rule in compiled:
            match = pattern.fullmatch(name)
            if match is None:
                continue
            if rule.target is None:
                mapped.ignored[name] = rule.reason
            else:
                target = match.expand(rule.target)
                if target in mapped.state:
                    raise ValueError(f"{name!r} maps to {target!r}, which is already taken")
                mapped.state[target] = rule.change(tensor) if rule.change else tensor
            break
        else:
            mapped.unknown.append(name)
    return mapped


def check_exactly(module: torch.nn.Module, state: Mapping[str, Tensor]) -> None:
    """Check that a mapped state dict is what a module needs, name by name and shape by shape.

    Args:
        module: may live on the meta device.
        state: our names to tensors.

    Raises:
        ValueError: names missing from `state`, not known to `module`, or of other shapes; the
            first few are named.
    """
    expected = module.state_dict()
    missing, surplus = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or surplus:
        raise ValueError(
            f"checkpoint does not fit {type(module).__name__}: {len(missing)} missing "
            f"{missing[:4]}, {len(surplus)} unexpected {surplus[:4]}; check the config's sizes"
        )
    for name, tensor in expected.items():
        if tensor.shape != state[name].shape:
            raise ValueError(
                f"checkpoint does not fit {type(module).__name__}: {name} of shape "
                f"{list(state[name].shape)} must be {list(tensor.shape)}; check the config's sizes"
            )


def load_exactly(module: torch.nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a mapped state dict into a module without a copy or a cast.

    Args:
        module: may live on the meta device; every tensor of it is replaced.
        state: our names to tensors.

    Raises:
        ValueError: as `check_exactly`.
    """
    check_exactly(module, state)
    module.load_state_dict(dict(state), strict=True, assign=True)
