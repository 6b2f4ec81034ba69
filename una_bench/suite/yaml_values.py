"""YAML of recipes, without the two things that would be read otherwise than written."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's loader, which refuses a key given twice and takes ``1:00:00`` as text.

    PyYAML keeps the last of two equal keys without a word, and reads numbers with colons to base 60.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # before merges (<<), which may override
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"the key '{twice}' is given twice in the mapping that starts in line {line}")
        return node

    def _integer(self, node: yaml.ScalarNode) -> Any:
        return node.value if ":" in node.value else self.construct_yaml_int(node)

    def _number(self, node: yaml.ScalarNode) -> Any:
        return node.value if ":" in node.value else self.construct_yaml_float(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader._integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader._number)


def load(text: str) -> Any:
    """Return the data of YAML text.

    Raises:
        yaml.YAMLError: The text is not valid, or a key is given twice.
    """
    return yaml.load(text, Loader=_Loader)
