"""Recipe entry: who is told the numbers of training beside `history.csv`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

LoggerName = Literal["tensorboard", "mlflow", "wandb"]


def _each_once(names: list[LoggerName]) -> list[LoggerName]:
    if len(set(names)) != len(names):
        raise ValueError("a logger stands twice; name each logger once")
    return names


Loggers = Annotated[
    list[LoggerName],
    AfterValidator(_each_once),
    Field(
        description="Who is told the numbers of training, beside history.csv. tensorboard: event "
        "files in the run folder; mlflow, wandb: need the extra of that name.",
    ),
]
