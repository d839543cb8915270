"""The order of the layers: each is a folder of src/, hooks of the whole tree
(docs/design.md, section 2)."""

# Lowest first.  A file uses its own layer and those before it.
LAYERS = ["base", "platform", "mi", "page", "account", "arena", "extent",
          "abandoned", "heap", "interp", "domain", "cpython", "hooks", "api", "report"]
# These see all of the above and not one another.
TOP = ["preload", "module", "run"]
# Folders beside src/, not below it.
TOP_LEVEL = {"hooks"}

RANK = {name: rank for rank, name in enumerate(LAYERS)}
RANK.update({name: len(LAYERS) for name in TOP})


def place(name):
    """The path below the root of a file that is named folder/file."""
    return name if name.split("/")[0] in TOP_LEVEL else f"src/{name}"


def may_use(folder, other):
    """Whether a file of the one layer may use what the other one has."""
    return folder == other or RANK[other] < RANK[folder]
