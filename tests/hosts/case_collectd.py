"""collectd: its Python plug-in reads once (collectd -T) and shuts down."""

from pathlib import Path

from bench import find, need_file

NAME = "collectd"
ENTRY = "plug-in"

CONFIGURATION = """\
BaseDir "{folder}"
PIDFile "{folder}/pid"
FQDNLookup false
TypesDB "{folder}/types.db"
LoadPlugin python
<Plugin python>
    ModulePath "{folder}"
    ModulePath "{modules}"
    Import "readings"
</Plugin>
"""

SCRIPT = """\
import collectd, json, work

def read():
    with open("{folder}/answer", "w") as file:
        json.dump(work.answer(), file)
    collectd.Values(plugin="readings", type="gauge").dispatch(values=[42])

collectd.register_read(read)
"""


def play(bench):
    collectd = find("collectd", "collectd-core")
    need_file(Path("/usr/lib/collectd/python.so"), "collectd-core")
    text = bench.run(collectd, "-h", served=False)
    version = next(line for line in text.splitlines() if "http" in line)
    names = {"folder": bench.folder, "modules": bench.modules}
    configuration = bench.folder / "collectd.conf"
    configuration.write_text(CONFIGURATION.format(**names))
    (bench.folder / "types.db").write_text("gauge value:GAUGE:U:U\n")
    (bench.folder / "readings.py").write_text(SCRIPT.format(**names))
    bench.run(collectd, "-T", "-C", configuration)
    return version.split(",")[0], (bench.folder / "answer").read_text()
