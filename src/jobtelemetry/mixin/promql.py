"""PromQL for the contract's families: selected, and freed of replicas.

An exporter may run many times, and every one shows the same numbers. So a family is never summed over instances:
:meth:`PromQL.of` takes the highest value per label set first. How counters are compared is in :mod:`.exact`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobtelemetry import contract
from jobtelemetry.contract import Family, Kind
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.outcomes import State

#: The optional label of every family that has a worker.
SOURCE = "source"


@dataclass(frozen=True)
class PromQL:
    """Writes expressions for one config.

    Args:
        config: Where the selector and the installation labels come from.
        scope: Further matchers that families with these labels carry: label -> matcher, such as
            ``{"queue": 'queue=~"$queue"'}``; for dashboards.
    """

    config: MixinConfig
    scope: tuple[tuple[str, str], ...] = ()

    @property
    def base(self) -> tuple[str, ...]:
        """The labels that stay whatever is summed."""
        return self.config.installation_labels

    @property
    def installation(self) -> str:
        """The scope's matchers of installation labels, each with a comma before it, for what is recorded."""
        return "".join(f", {matcher}" for label, matcher in self.scope if label in self.base)

    @property
    def scraped(self) -> str:
        """``up`` of the exporters."""
        scope = "".join(f", {matcher}" for label, matcher in self.scope if label in self.config.scrape_labels)
        return f"up{{{f'{self.config.scrape_selector}{scope}'.removeprefix(', ')}}}"

    def by(self, *labels: str) -> str:
        """``job, worker``: the labels of an aggregation."""
        return ", ".join((*self.base, *labels))

    def labels(self, family: Family) -> tuple[str, ...]:
        """All labels that a family can have."""
        return labels_of(family, self.config.extra_labels)

    def of_installation(self) -> PromQL:
        """The same whatever queue or worker is chosen on a dashboard."""
        return PromQL(self.config, tuple(one for one in self.scope if one[0] in self.base))

    def matchers(self, family: Family, extra: str = "") -> str:
        """``{...}`` for a family, with the matchers of the scope that it has labels for."""
        parts = [self.config.selector]
        labels = self.labels(family)
        parts += [matcher for label, matcher in self.scope if label in labels or label in self.base]
        if "worker" in labels:
            # What retires there was counted elsewhere before: nothing happens to it.
            parts.append(f'worker!~"{"|".join(filter(None, (contract.RETIRED, self.config.ignored_workers)))}"')
        return "{" + ", ".join(filter(None, (*parts, extra))) + "}"

    def raw(self, family: Family, extra: str = "", *, suffix: str = "") -> str:
        """The plain selector, one series per replica.

        Args:
            family: From the contract.
            extra: Further matchers, such as :func:`in_state` gives.
            suffix: ``_bucket``, ``_sum``, ``_count`` or ``_created`` of a histogram or counter.
        """
        name = family.name.removesuffix("_total") if suffix == "_created" else family.name
        return f"{name}{suffix}{self.matchers(family, extra)}"

    def of(self, family: Family, extra: str = "", *, offset: str = "", suffix: str = "") -> str:
        """The family once, however many replicas show it."""
        shift = f" offset {offset}" if offset else ""
        return f"max by ({self.by(*self.labels(family))}) ({self.raw(family, extra, suffix=suffix)}{shift})"

    def rate(self, family: Family, window: str, extra: str = "", *, suffix: str = "") -> str:
        """``rate()`` once, however many replicas show the family."""
        labels = [*self.labels(family), *(["le"] if suffix == "_bucket" else [])]
        return f"max by ({self.by(*labels)}) (rate({self.raw(family, extra, suffix=suffix)}[{window}]))"

    def quantile(self, q: float, family: Family, window: str, by: Sequence[str], extra: str = "") -> str:
        """A quantile of a histogram."""
        rate = self.rate(family, window, extra, suffix="_bucket")
        return f"histogram_quantile({q:g}, sum by ({self.by(*by, 'le')}) ({rate}))"


#: The matcher of run times of completed executions; also of those of all states together, which have no such label.
COMPLETED_RUNS = f'state=~"{State.COMPLETED}|"'


def in_state(*states: State) -> str:
    """The matcher of one state, or of several."""
    return f'state="{states[0]}"' if len(states) == 1 else f'state=~"{"|".join(states)}"'


def labels_of(family: Family, extra: tuple[str, ...] = (SOURCE,)) -> tuple[str, ...]:
    """All labels that a family can have, also those that only some installations have."""
    return (*family.labels, *extra) if "worker" in family.labels else family.labels


def series_names(family: Family) -> tuple[str, ...]:
    """The names under which Prometheus keeps a family."""
    base = family.name.removesuffix("_total")
    if family.kind is Kind.HISTOGRAM:
        return tuple(f"{family.name}{suffix}" for suffix in ("_bucket", "_sum", "_count", "_created"))
    return (family.name, f"{base}_created") if family.kind is Kind.COUNTER else (family.name,)
