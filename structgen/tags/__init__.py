"""Structural tags: free text in which triggers open constrained regions, such as calls of tools."""

from structgen.tags.formats import TagCompiler, tag_to_ir
from structgen.tags.tools import TOOL_FORMATS, ToolChoice, read_calls, response_format, tools_format

__all__ = ["TOOL_FORMATS", "TagCompiler", "ToolChoice", "read_calls", "response_format", "tag_to_ir", "tools_format"]
