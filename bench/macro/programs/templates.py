"""Pages are rendered into io.StringIO, escaped, formatted and joined.

pyperformance: chameleon, django_template and genshi, without their packages.
"""

import html
import io
import random

LOOPS = 30
PAGES = 25

HEAD = "<html><head><title>{title}</title></head>\n<body class='{style}'>\n"
ROW = ("  <tr class=\"{parity}\"><td>{number:>6}</td><td>{name}</td>"
       "<td>{price:10.2f}</td><td><a href=\"{link}\">{label}</a></td></tr>\n")


def setup():
    rng = random.Random(40)
    return [(f"Page <{page}> & more",
             [(rng.randrange(10**6), f"name <b>{rng.randrange(9999)}</b>",
               rng.randrange(10**6) / 100, f"/go?a={rng.randrange(99)}&b=2")
              for _ in range(150)]) for page in range(PAGES)]


def write_attributes(out, **attributes):
    for name, value in attributes.items():
        out.write(f' {name}="{html.escape(str(value))}"')


def render(title, rows):
    out = io.StringIO()
    out.write(HEAD.format(title=html.escape(title), style="plain"))
    out.write("<table>\n")
    for index, (number, name, price, link) in enumerate(rows):
        out.write(ROW.format(
            parity="even" if index % 2 else "odd", number=number,
            name=html.escape(name), price=price, link=html.escape(link),
            label="item %d of %s" % (number, title[:4])))
    out.write("</table>\n")
    for number, name, _, _ in rows[:40]:
        out.write("<div")
        write_attributes(out, id=f"box-{number}", title=name, index=number)
        out.write(">" + ", ".join(name.split()).title() + "</div>\n")
    return out.getvalue()


def run(pages):
    site = {}
    for title, rows in pages:
        text = render(title, rows)
        lines = io.StringIO(text).readlines()
        site[title] = "".join(line.lstrip() for line in lines)
    sizes = sum(map(len, site.values()))
    marks = sum(text.count("&amp;") for text in site.values())
    return f"{len(site)} {sizes} {marks}"
