"""What every dashboard has around its panels: uid, variables, links, annotations."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from jobtelemetry import contract
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import SOURCE, PromQL

TAG = "jobtelemetry"
DATA = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

#: Grafana's own: the range on show, and a step that fits it.
RANGE, STEP = "$__range", "$__interval"

#: The alerts of this mixin, as the built-in series ALERTS shows them.
OUR_ALERTS = 'alertname=~"(Job|Queue).*"'


def frame(config: MixinConfig, board: Board, description: str, variables: tuple[str, ...]) -> build.Dashboard:
    """A dashboard without panels.

    Args:
        config: Title prefix, range and selector.
        board: Which one.
        description: What it answers.
        variables: Labels to choose from, in order: ``queue``, ``worker``, ``source``. One that ends in ``!`` takes
            one value and not several.
    """
    dashboard = (
        build.Dashboard(f"{config.title_prefix} / {board.title}")
        .uid(board.uid)
        .description(description)
        .tags([TAG])
        .time(f"now-{config.dashboard_range}", "now")
        .refresh(config.dashboard_refresh)
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(_link())
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for label in config.open_labels:
        source = PromQL(config, _scope(label_before(config, label))).raw(contract.UP, f'{label}!=""')
        dashboard = dashboard.with_variable(_choice(label, label.capitalize(), source).multi(True))
    for position, variable in enumerate(variables):
        by_queue = "queue" in variables[:position]
        dashboard = dashboard.with_variable(_variable(config, variable, by_queue=by_queue))
    return dashboard.annotation(_alerts(config)).annotation(_Deploys(config))


def scoped(config: MixinConfig, *labels: str) -> PromQL:
    """Expressions that follow the dashboard's variables for these labels."""
    return PromQL(config, _scope((*config.open_labels, *labels)))


def label_before(config: MixinConfig, label: str) -> tuple[str, ...]:
    """The installation labels that are chosen before this one, which offers what there is of them."""
    return config.open_labels[: config.open_labels.index(label)]


def _scope(labels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((label, f'{label}=~"${label}"') for label in labels)


def row(title: str) -> build.Row:
    """A heading between panels."""
    return build.Row(title)


def board_url(board: Board, q: PromQL, *, label: str = "", value: str = "") -> str:
    """The address of a dashboard, of one worker or queue or of what is chosen; time range, data source, variables stay.

    Args:
        board: Where it leads.
        q: What the dashboard that has the link shows; the variables of its scope are taken along.
        label: Of this variable a value of its own.
        value: What Grafana replaces by that value.
    """
    kept = "".join(f"&${{{name}:queryparam}}" for name, _ in q.scope if name != label)
    chosen = f"&var-{label}={value}" if label else ""
    return f"/d/{board.uid}?${{__url_time_range}}&${{datasource:queryparam}}{kept}{chosen}"


def numbered(dashboard: model.Dashboard) -> model.Dashboard:
    """Give every panel its id, in order, so that a link to a panel survives a rebuild."""
    for number, panel in enumerate(dashboard.panels or [], start=1):
        panel.id_val = number
    return dashboard


def _variable(config: MixinConfig, name: str, *, by_queue: bool) -> build.QueryVariable:
    label, single = name.rstrip("!"), name.endswith("!")
    family = contract.QUEUE_JOBS if label == "queue" else contract.JOB_EXECUTIONS
    scope = _scope((*config.open_labels, *(("queue",) if by_queue else ())))
    source = PromQL(config, scope).raw(family, f'{label}!=""')
    title = {"queue": "Queue", "worker": "Worker", SOURCE: "Source"}[label]
    return _choice(label, title, source, everything=not (single and label == "worker")).multi(not single)


def _choice(label: str, title: str, source: str, *, everything: bool = True) -> build.QueryVariable:
    variable = (
        build.QueryVariable(label)
        .label(title)
        .datasource(DATA)
        .query({"query": f"label_values({source}, {label})", "refId": label, "qryType": 1})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if not everything:
        return variable
    all_of_them = model.VariableOption(selected=True, text="All", value="$__all")
    return variable.include_all(True).all_value(".*").current(all_of_them)


def _link() -> build.DashboardLink:
    return (
        build.DashboardLink("Jobs")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def _alerts(config: MixinConfig) -> build.AnnotationQuery:
    scope = scoped(config).installation
    return (
        build.AnnotationQuery()
        .name("Alerts that page")
        .datasource(DATA)
        .enable(True)
        .hide(False)
        .icon_color("red")
        .expr(f'ALERTS{{alertstate="firing", severity="{config.severity_page}", {OUR_ALERTS}{scope}}}')
    )


class _AtItsValue(model.AnnotationQuery):  # type: ignore[misc,unused-ignore]
    """Events at the moments that are the series' values, in milliseconds, where Grafana's types know no such option."""

    def to_json(self) -> dict[str, object]:
        """As Grafana's data source for Prometheus reads it."""
        how = {"useValueForTime": True, "titleFormat": "{{version}}", "textFormat": "deployed", "step": "60s"}
        return {**super().to_json(), **how}


class _Deploys(Builder[model.AnnotationQuery]):  # type: ignore[misc,unused-ignore]
    """A line where a version of the application began to run."""

    def __init__(self, config: MixinConfig) -> None:
        at = PromQL(config).raw(contract.DEPLOYED_AT)
        self._expr = f"1000 * max by (version) ({at})"

    def build(self) -> model.AnnotationQuery:
        """The query."""
        return _AtItsValue("Deploys", DATA, enable=True, hide=False, icon_color="purple", expr=self._expr)
