"""A forecast as lines for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipelines.forecast.figures import Estimate
from pipelines.forecast.forecast import Forecast
from pipelines.progress.live_view import format_duration
from uniaudio2.shown import MESSAGE_CHARACTERS, counted, shown

_STEPS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def forecast_lines(forecast: Forecast) -> str:
    """What a run would do, take and cost, a line each; ranges stand behind the figures."""
    return "\n".join(shown(line, MESSAGE_CHARACTERS) for line in _lines(forecast))


def _lines(forecast: Forecast) -> Iterator[str]:
    before = f" ({forecast.done} of {forecast.rows} are done)" if forecast.done else ""
    left = forecast.left
    yield f"rows:    {counted(left.rows, 'row')} in {counted(left.units, 'unit')}{before}"
    figures, setup, probe = forecast.figures, forecast.setup, forecast.probe
    if figures is None or setup is None or probe is None:
        yield "nothing is left to do"
        return
    tried = sum(unit.rows for unit in probe.units)
    by = "the seconds of audio that columns tell" if left.row_s else "the number of rows"
    yield f"probe:   {counted(tried, 'row')} in {counted(len(probe.units), 'unit')}, scaled by {by}"
    yield from _amounts(figures)
    yield from _times(forecast, figures)
    yield from _costs(figures)
    for note in forecast.notes:
        yield f"note:    {note}"
    yield "ranges:  95 %, from how the probe's units differ (bootstrap); what else a machine does"
    yield "         meanwhile is in none of them"


def _ranged(one: Estimate, show: Callable[[float], str]) -> str:
    return f"{show(one.value)} ({show(one.low)} to {show(one.high)})"


def _amounts(figures: dict[str, Estimate]) -> Iterator[str]:
    if figures["errors"].value:
        yield f"errors:  {_ranged(figures['errors'], _plain)} rows"
    audio = {"input_hours": "read", "output_hours": "written"}
    for name, word in audio.items():
        if figures[name].value:
            yield f"audio:   {_ranged(figures[name], lambda h: format_duration(3600 * h))} {word}"
    yield f"bytes:   {_ranged(figures['bytes'], _bytes)}"
    if figures["tokens"].value:
        yield f"tokens:  {_ranged(figures['tokens'], _plain)}"


def _times(forecast: Forecast, figures: dict[str, Estimate]) -> Iterator[str]:
    setup = forecast.setup
    assert setup is not None and forecast.spans_s is not None  # noqa: S101 - see `_lines`
    yield f"time:    {_ranged(figures['wall_s'], format_duration)}, of which " + (
        f"{format_duration(figures['start_s'].value)} to start"
    )
    sizes = {pool.name: pool.min_size for pool in setup.allocation.pools}
    for name in forecast.spans_s:
        work = _ranged(figures[f"{name}.busy_s"], format_duration)
        each = f"{1e3 * figures[f'{name}.busy_s_per_row'].value:.3g} ms a row"
        per_s = figures.get(f"{name}.busy_s_per_audio_s")
        each += f", {1e3 * per_s.value:.3g} ms a second of audio" if per_s else ""
        actors = f"; {counted(sizes[name], 'actor')}" if setup.has_pools and name in sizes else ""
        yield f"  {name:<8} {work} of work: {each}{actors}"
    yield f"limit:   {forecast.bottleneck}" + (
        f"; balanced by {' '.join(forecast.settings)}" if forecast.settings else ""
    )
    there = ", ".join(f"{amount:g} {name}" for name, amount in setup.resources.items())
    several = f", {counted(setup.workers, 'worker')}" if setup.kind == "processes" else ""
    yield f"by:      executor {setup.kind} with {there}{several}"


def _costs(figures: dict[str, Estimate]) -> Iterator[str]:
    hours = {"GPU": figures["gpu_hours"], "CPU": figures["cpu_hours"]}
    told = [f"{_ranged(one, _plain)} {name} hours" for name, one in hours.items() if one.value]
    yield f"machine: {', '.join(told)}"
    counts = {"puts": "PUTs", "other_requests": "others", "audio_gets": "GETs of audio"}
    if any(figures[name].value for name in counts):
        asked = [f"{_plain(figures[name].value)} {word}" for name, word in counts.items()]
        price = f"${_plain(figures['requests_price'].value)}"
        yield f"store:   {', '.join(asked)}: {price} at S3's list prices"
    prices = [name for name in ("gpu_price", "cpu_price") if name in figures]
    if prices:
        parts = [f"{_plain(figures[name].value)} of {name[:3].upper()}s" for name in prices]
        yield f"money:   {_ranged(figures['price'], _plain)} ({', '.join(parts)}, and requests)"


def _plain(value: float) -> str:
    """Three digits that count."""
    if value >= 1000:
        return f"{round(value, 3 - len(str(int(value)))):,.0f}"
    return f"{value:.3g}"


def _bytes(value: float) -> str:
    for step, unit in _STEPS:
        if value >= step:
            return f"{value / step:.3g} {unit}"
    return f"{value:.0f} bytes"
