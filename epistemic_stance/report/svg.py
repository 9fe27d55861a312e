"""Make an SVG of matplotlib fit to stand inside a page: no styles, no links, no colours but names of the page's own.

The page's security policy allows no style attributes, and the page has two palettes. So colours become classes, other
styles become attributes, and what is no part of the picture goes.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from epistemic_stance.report.layout import Chart

INK, FAINT = "#010101", "#020202"
SERIES = ("#030303", "#040404", "#050505", "#060606")
"""Stand-ins for the page's colours: text, lines of axes and grid, and one of each series."""
CLASSES = {INK: "ink", FAINT: "faint", **{colour: f"series{number}" for number, colour in enumerate(SERIES)}}
DROPPED = ("metadata", "style")
KEPT_STYLES = (
    "fill-opacity",
    "font-size",
    "font-weight",
    "opacity",
    "stroke-dasharray",
    "stroke-opacity",
    "stroke-width",
    "text-anchor",
)
NUMBER = re.compile(r"-?\d+\.\d{2,}")
REFERENCE = re.compile(r"url\(#([^)]+)\)|^#(.+)$")


def embedded(text: str, name: str, title: str, description: str) -> Chart:
    """The chart of an SVG file; `name` keeps its ids apart from those of other charts."""
    root = ElementTree.fromstring(text)  # noqa: S314 - what matplotlib wrote a moment ago
    used = {match for element in root.iter() for match in _references(element)}
    for parent in root.iter():
        for child in [child for child in parent if _local(child.tag) in DROPPED]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        _clean(element, name, used)
    _unwrap(root)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-labelledby": f"{name}-t {name}-d"})
    for tag, said in (("desc", description), ("title", title)):
        element = ElementTree.Element(tag, {"id": f"{name}-{tag[0]}"})
        element.text = said
        root.insert(0, element)
    return Chart(title, ElementTree.tostring(root, encoding="unicode"))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _references(element: ElementTree.Element) -> list[str]:
    result = [REFERENCE.search(value) for key, value in element.attrib.items() if _local(key) in ("href", "clip-path")]
    return [match[1] or match[2] for match in result if match]


def _clean(element: ElementTree.Element, name: str, used: set[str]) -> None:
    attributes: dict[str, str] = {}
    classes: list[str] = []
    for key, value in element.attrib.items():
        local = _local(key)
        if local == "style":
            _restyle(value, attributes, classes)
        elif local == "id":
            attributes |= {"id": f"{name}-{value}"} if value in used else {}
        elif local == "href":
            attributes["href"] = f"#{name}-{value[1:]}"
        elif local == "clip-path":
            attributes["clip-path"] = value.replace("url(#", f"url(#{name}-")
        elif not (local == "transform" and value.startswith("rotate(-0 ")):
            attributes[local] = _shorter(value)
    if classes:
        attributes["class"] = " ".join(classes)
    element.attrib.clear()
    element.attrib.update(attributes)
    element.text = (element.text or "").strip() or None
    element.tail = None


def _restyle(style: str, attributes: dict[str, str], classes: list[str]) -> None:
    for declaration in style.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key in ("fill", "stroke"):
            if value in CLASSES:
                classes.append(f"{key}-{CLASSES[value]}")
            else:
                attributes[key] = value
        elif key in KEPT_STYLES:
            attributes[key] = value.removesuffix("px")


def _shorter(value: str) -> str:
    """One decimal is a tenth of a pixel."""
    return " ".join(NUMBER.sub(lambda match: f"{float(match[0]):.1f}", value).split())


def _unwrap(element: ElementTree.Element) -> None:
    """Groups without attributes hold nothing together."""
    children: list[ElementTree.Element] = []
    for child in element:
        _unwrap(child)
        children += list(child) if child.tag == "g" and not child.attrib else [child]
    element[:] = children
