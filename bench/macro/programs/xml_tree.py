"""An XML document is built, written, parsed, searched and changed.

pyperformance: xml_etree_generate, xml_etree_parse, xml_etree_iterparse and
xml_etree_process.
"""

import io
import random
from xml.etree import ElementTree

LOOPS = 3
NEEDS = ("_elementtree", "pyexpat")
ITEMS = 4000


def setup():
    rng = random.Random(34)
    return [(f"item-{number}", f"Title {rng.randrange(10**5)}",
             [f"word{rng.randrange(400)}" for _ in range(rng.randrange(1, 8))],
             rng.randrange(10**4)) for number in range(ITEMS)]


def build(items):
    root = ElementTree.Element("catalogue", version="1")
    for name, title, words, price in items:
        item = ElementTree.SubElement(root, "item", id=name, lang="en")
        ElementTree.SubElement(item, "title").text = title
        keys = ElementTree.SubElement(item, "keywords")
        for word in words:
            ElementTree.SubElement(keys, "key").text = word
        ElementTree.SubElement(item, "price", currency="EUR").text = str(price)
    return root


def run(items):
    text = ElementTree.tostring(build(items))
    root = ElementTree.fromstring(text)
    dear = 0
    for item in root.findall("item"):
        price = item.find("price")
        price.text = str(int(price.text) * 2)
        price.set("vat", "19")
        if int(price.text) > 15000:
            dear += 1
            item.append(ElementTree.Comment("expensive"))
    keys = {key.text for key in root.iter("key")}
    out = ElementTree.tostring(root, encoding="unicode")
    seen = 0
    for _, element in ElementTree.iterparse(io.BytesIO(text)):
        if element.tag == "item":
            seen += len(element)
            element.clear()
    return f"{len(text)} {len(out)} {dear} {len(keys)} {seen}"
