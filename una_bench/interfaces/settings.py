"""Settings of methods, benchmarks and problems: one way to declare them, and one to check them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
WholeNumber = Annotated[int, Field(ge=0)]


class Settings(BaseModel):
    """Frozen, typed settings with defaults; unknown names, numbers that are not finite and wrong choices are refused.

    A field is a setting; what is not annotated, or a `ClassVar`, is a fact about the class. A setting with a closed set
    of values is a `Literal` or an enum.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False, defer_build=True
    )

    def settings(self) -> dict[str, Any]:
        """Return every setting by name, defaults written out."""
        return {name: getattr(self, name) for name in type(self).model_fields}
