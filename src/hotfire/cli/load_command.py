"""The options of ``hotfire load``; what they do is in ``load``, imported when it runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Target = Annotated[
    Path | None,
    typer.Option("--target", metavar="FILE", help="Target file; default: the standing lab."),
]
Text = str | None
Number = float | None
Count = int | None


def load(  # noqa: PLR0913 - one parameter is one option
    *,
    target: Target = None,
    url: Annotated[Text, typer.Option(help="Gateway instead of a target file.")] = None,
    model: Annotated[Text, typer.Option(help="Served model name; with --url.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Load plan as JSON (docs/traffic.md); options override."),
    ] = None,
    rate: Annotated[
        Number, typer.Option(help="Arrivals per second; default: 5, or the target's.")
    ] = None,
    process: Annotated[
        Literal["constant", "poisson", "gamma"] | None, typer.Option(help="How they are spread.")
    ] = None,
    burstiness: Annotated[Number, typer.Option(help="Shape of gamma; less is burstier.")] = None,
    duration: Annotated[
        Number, typer.Option(help="Seconds; default: 60, or what each trial of --find-rate needs.")
    ] = None,
    warmup: Annotated[Number, typer.Option(help="Seconds at the start that do not count.")] = None,
    ramp: Annotated[Number, typer.Option(metavar="RATE", help="Let the rate go to this.")] = None,
    steps: Annotated[
        Text, typer.Option(metavar="RATExSECONDS,...", help="Stretches, e.g. 5x30,10x30.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Mooncake, Qwen-Bailian or Azure trace to replay.")
    ] = None,
    trace_unit: Annotated[
        Literal["s", "ms"] | None,
        typer.Option(help="Unit of the trace's numeric time stamps; default: its form's."),
    ] = None,
    trace_block: Annotated[
        Count, typer.Option(metavar="TOKENS", help="Tokens that a hash id of the trace names.")
    ] = None,
    concurrency: Annotated[
        Count, typer.Option(help="Closed loop with so many at a time; for capacity only.")
    ] = None,
    workers: Annotated[Count, typer.Option(help="Load processes.")] = None,
    client: Annotated[
        Literal["reactor", "reactor-python", "geventhttpclient"] | None,
        typer.Option(help="What reads the streams; the others are there to check the first."),
    ] = None,
    prompts: Annotated[
        Text, typer.Option(metavar="words|echo|FILE", help="Where prompts come from.")
    ] = None,
    prompt_words: Annotated[Count, typer.Option(help="Words in each prompt.")] = None,
    max_tokens: Annotated[Count, typer.Option(help="Output tokens asked for.")] = None,
    seed: Annotated[Count, typer.Option(help="Decides arrivals and prompts.")] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=LIMIT|PRESET", help="E.g. ttft_p95_seconds=0.5 (repeatable)."),
    ] = None,
    metrics: Annotated[
        Text, typer.Option(metavar="URL", help="The engine's metrics page, as a second witness.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Record here; default: runs/load-<utc>/.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Measure the instrument itself at this rate, and keep it."
        ),
    ] = False,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Search the highest rate that keeps the budgets.")
    ] = False,
    cross_check: Annotated[
        Literal["vllm-bench"] | None, typer.Option(help="Measure with this tool as well.")
    ] = None,
) -> int:
    """Measure what users of a target experience; nothing is broken and nothing deployed.

    Exit codes: 0 every budget kept, 1 one broken, 2 inconclusive, 254 bad arguments, 255 failed.
    """
    given = dict(locals())
    from hotfire.cli.load import LoadOptions, carry_out  # noqa: PLC0415 - see the package's docstring

    return carry_out(LoadOptions(**given))
