"""Source text is parsed, walked, changed, and compiled.

What linters, template engines and test runners do; pyperformance has it in
docutils, mako and sqlglot.
"""

import ast

LOOPS = 4
FUNCTIONS = 60

FUNCTION = '''
def step_{n}(state, value={n}, *rest, scale=1.5, **options):
    """Step {n} of a pipeline."""
    total = 0
    for index, item in enumerate(rest or [value, state.get("x{n}", 3)]):
        if item % {m} == 0 and not options:
            total += item * scale + index
        elif isinstance(item, (int, float)):
            total -= [part ** 2 for part in range(index) if part != {n}][-1:]
        else:
            raise ValueError(f"item {{item}} of step {n}: {{value!r}}")
    with state.lock as lock:
        state.results["step_{n}"] = (total, lock, lambda a: a + {n})
    try:
        return state.call(step_{p}, total, key={{"n": {n}, "m": [1, 2, {m}]}})
    except KeyError as error:
        return None


class Stage{n}(Base):
    name = "stage {n}"
    limits = {{"low": {n}, "high": {n} * {m}}}

    def __init__(self, parent, *children):
        self.parent, self.children = parent, list(children)

    @property
    def depth(self):
        return 0 if self.parent is None else self.parent.depth + 1
'''


class Renamer(ast.NodeTransformer):
    def visit_Name(self, node):
        return ast.copy_location(ast.Name("_" + node.id, node.ctx), node)


def setup():
    return "\n".join(FUNCTION.format(n=n, m=n % 7 + 2, p=max(n - 1, 0))
                     for n in range(FUNCTIONS))


def run(source):
    tree = ast.parse(source)
    names = {}
    calls = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names[node.id] = names.get(node.id, 0) + 1
        elif isinstance(node, ast.Call):
            calls += 1
    changed = ast.fix_missing_locations(Renamer().visit(tree))
    code = compile(changed, "<changed>", "exec")
    functions = sum(hasattr(const, "co_code") for const in code.co_consts)
    lines = len(ast.unparse(changed).splitlines())
    return f"{len(names)} {calls} {functions} {lines}"
