"""YAML that people write: a key may come once, and whatever is wrong is a ValueError."""

from typing import Any

import yaml


def read(text: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Return the document of a text.

    Raises:
        ValueError: it is no YAML, or a mapping names a key twice: the writer means one of the two
            and would get the other. The message has one line, with the place.
    """
    try:
        return yaml.load(text, _Once)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise ValueError(_told(error)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _told(error: yaml.MarkedYAMLError) -> str:
    """Return problem and place; the text around it may be a password."""
    words = [each for each in (error.context, error.problem) if each]
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return ": ".join([*words, place]) if place else ": ".join(words)


class _Once(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            # Several merges are a list's matter; what they bring may be written over.
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} comes twice, drop one", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
