"""The order of the folders of src/: each is a layer (docs/design.md, section 2)."""

# Lowest first.  A file uses its own layer and those before it.
LAYERS = ["base", "platform", "mi", "page", "account", "arena", "extent",
          "abandoned", "heap", "interp", "domain", "cpython", "api", "report"]
# These see all of the above and not one another.
TOP = ["preload", "module", "run"]
# Have no folder yet: the layer that each is to lie on.
PLANNED = {"hooks": "cpython"}

RANK = {name: rank for rank, name in enumerate(LAYERS)}
RANK.update({name: len(LAYERS) for name in TOP})


def may_use(folder, other):
    """Whether a file of the one layer may use what the other one has."""
    return folder == other or RANK[other] < RANK[folder]
