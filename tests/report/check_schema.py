#!/usr/bin/env python3
"""Check JSON documents against a schema (JSON Schema, the keywords we use).

    check_schema.py SCHEMA DOCUMENT...

Knows type, required, properties, additionalProperties (false), items, enum,
const, minimum, pattern and $ref into the schema itself.  Any other keyword that
could refuse something is an error, so that a schema cannot say more than is
checked.  Documents must be JSON proper: no NaN, no member twice.

Prints one line per breach and exits with 1 if any.  Python 3.9, nothing else.
"""

import json
import re
import sys

IGNORED = {"$schema", "$defs", "title", "description"}
KNOWN = {"$ref", "type", "required", "properties", "additionalProperties", "items", "enum",
         "const", "minimum", "pattern"}

# bool is an int for Python, not for JSON.
TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


class SchemaError(Exception):
    """The schema itself is at fault."""


def same(a, b):
    """Equal as JSON: 1 is not true."""
    return type(a) is type(b) and a == b


def resolve(schema, root):
    while "$ref" in schema:
        if not schema["$ref"].startswith("#/") or len(schema) != 1:
            raise SchemaError(f"cannot follow {schema}")
        target = root
        for name in schema["$ref"][2:].split("/"):
            if name not in target:
                raise SchemaError(f"nothing at {schema['$ref']}")
            target = target[name]
        schema = target
    return schema


def lint(schema, root):
    """Raises SchemaError if any part says what check() does not look at."""
    unknown = set(schema) - IGNORED - KNOWN
    if unknown:
        raise SchemaError(f"keywords that are not known: {sorted(unknown)}")
    if "$ref" in schema:
        resolve(schema, root)
        return
    types = schema.get("type", [])
    unknown = set(types if isinstance(types, list) else [types]) - set(TYPES)
    if unknown:
        raise SchemaError(f"types that are not known: {sorted(unknown)}")
    if not isinstance(schema.get("additionalProperties", True), bool):
        raise SchemaError("additionalProperties must be true or false")
    for part in [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]:
        lint(part, root)
    if "items" in schema:
        lint(schema["items"], root)


def check_object(value, schema, root, where):
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{where}: member {name!r} is missing"
    for name, member in value.items():
        if name in properties:
            yield from check(member, properties[name], root, f"{where}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{where}: member {name!r} is not known"


def check(value, schema, root, where="$"):
    """Yields one sentence for each breach."""
    schema = resolve(schema, root)
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(TYPES[name](value) for name in types):
            yield f"{where}: {value!r} is not of type {' or '.join(types)}"
            return
    if "const" in schema and not same(value, schema["const"]):
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and not any(same(value, allowed) for allowed in schema["enum"]):
        yield f"{where}: {value!r} is none of {schema['enum']}"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if "minimum" in schema and is_number and value < schema["minimum"]:
        yield f"{where}: {value} is less than {schema['minimum']}"
    if "pattern" in schema and isinstance(value, str):
        # In a schema $ is the end, in Python also the place before a last newline.
        if not re.search(schema["pattern"].replace("$", r"\Z"), value):
            yield f"{where}: {value!r} does not match {schema['pattern']}"
    if isinstance(value, dict):
        yield from check_object(value, schema, root, where)
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            yield from check(item, schema["items"], root, f"{where}[{i}]")


def members_once(pairs):
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"members that are there twice: {sorted(twice)}")
    return dict(pairs)


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def load(text):
    """The value of a JSON text; ValueError if it is not JSON."""
    return json.loads(text, object_pairs_hook=members_once, parse_constant=no_constant)


def check_text(text, schema):
    """All breaches of a document, as a list of sentences."""
    try:
        value = load(text)
    except ValueError as error:
        return [f"not JSON: {error}"]
    return list(check(value, schema, schema))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = load(file.read())
    lint(schema, schema)
    failed = False
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            for breach in check_text(file.read(), schema):
                print(f"{path}: {breach}")
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
