"""The main job in one screen: a prompt and a type in, a valid instance out, from the embedded model."""

from __future__ import annotations

import inspect
from typing import Annotated, Literal

from pydantic import BaseModel, Field

import structgen


class Release(BaseModel):
    name: str = Field(max_length=30)
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    date: str = Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9])$")
    license: Literal["MIT", "Apache-2.0", "BSD-3-Clause"]
    downloads: int = Field(ge=0, le=1_000_000)
    keywords: list[Annotated[str, Field(max_length=12)]] = Field(min_length=1, max_length=3)


PROMPT = "A release of a small library."


def main() -> None:
    """Prints the prompt, the schema, the text, the value and what it took."""
    result = structgen.generate(PROMPT, schema=Release, return_result=True)
    stats = result.stats
    print(f"prompt  {PROMPT}")
    print("schema  " + inspect.getsource(Release).strip().replace("\n", "\n        "))
    print(f"text    {result.text}")
    print(f"value   {result.value!r}")
    print(
        f"took    {stats.num_tokens} tokens in {stats.num_forward_passes} forward passes, {stats.forward_s:.2f} s; "
        f"a mask {stats.mask_us:.0f} µs"
    )


if __name__ == "__main__":
    main()
