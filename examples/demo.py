"""The main job in one screen: a prompt and a schema in, a valid value out, from the embedded model."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, Field

import structgen


class Event(BaseModel):
    title: str = Field(max_length=40)
    city: str = Field(max_length=20)
    date: str = Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9])$")
    kind: Literal["concert", "talk", "workshop"]
    seats: int = Field(ge=1, le=500)
    tags: list[Annotated[str, Field(max_length=12)]] = Field(min_length=1, max_length=3)


PROMPT = "A workshop on gardening in spring."


def main() -> None:
    """Prints the prompt, the schema, the value and what it took."""
    result = structgen.generate(PROMPT, schema=Event, return_result=True)
    stats = result.stats
    print(f"prompt  {PROMPT}")
    print(f"schema  {json.dumps(Event.model_json_schema(), separators=(',', ':'))}")
    print(f"text    {result.text}")
    print(f"value   {result.value!r}")
    print(
        f"took    {stats.num_tokens} tokens in {stats.num_forward_passes} forward passes, {stats.forward_s:.2f} s; "
        f"masks {stats.mask_us:.0f} µs each"
    )


if __name__ == "__main__":
    main()
