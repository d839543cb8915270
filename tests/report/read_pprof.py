"""Reads pprof's profiles (profile.proto of github.com/google/pprof), strictly."""

import gzip

# Fields of messages: number -> (name, what it is, whether it repeats).
MESSAGES = {
    "Profile": {1: ("sample_type", "ValueType", True), 2: ("sample", "Sample", True),
                3: ("mapping", "Mapping", True), 4: ("location", "Location", True),
                5: ("function", "Function", True), 6: ("string_table", "string", True),
                9: ("time_nanos", "int", False), 10: ("duration_nanos", "int", False),
                11: ("period_type", "ValueType", False), 12: ("period", "int", False),
                13: ("comment", "int", True), 14: ("default_sample_type", "int", False)},
    "ValueType": {1: ("type", "int", False), 2: ("unit", "int", False)},
    "Sample": {1: ("location_id", "int", True), 2: ("value", "int", True),
               3: ("label", "Label", True)},
    "Label": {1: ("key", "int", False), 2: ("str", "int", False), 3: ("num", "int", False),
              4: ("num_unit", "int", False)},
    "Mapping": {1: ("id", "int", False), 5: ("filename", "int", False),
                7: ("has_functions", "int", False), 8: ("has_filenames", "int", False),
                9: ("has_line_numbers", "int", False)},
    "Location": {1: ("id", "int", False), 2: ("mapping_id", "int", False),
                 4: ("line", "Line", True)},
    "Line": {1: ("function_id", "int", False), 2: ("line", "int", False)},
    "Function": {1: ("id", "int", False), 2: ("name", "int", False),
                 3: ("system_name", "int", False), 4: ("filename", "int", False)},
}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            break
    assert value < 1 << 64 and (byte or shift == 7), "a varint of 64 bits, no longer than needed"
    return value - (1 << 64) if value >> 63 else value, at


def message(data, name):
    fields = MESSAGES[name]
    out = {field: [] if many else 0 for field, _, many in fields.values()}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        field, kind, many = fields[tag >> 3]  # an unknown field is an error
        if tag & 7 == 0:
            assert kind == "int", f"{field} is no number"
            value, at = varint(data, at)
            values = [value]
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            length, at = varint(data, at)
            part, at = data[at:at + length], at + length
            assert len(part) == length, f"{field} is cut"
            values = content(part, kind)
        if many:
            out[field] += values
        else:
            out[field] = values[0]
    return out


def content(part, kind):
    if kind == "string":
        return [part.decode("utf-8")]
    if kind != "int":
        return [message(part, kind)]
    values, at = [], 0  # packed
    while at < len(part):
        value, at = varint(part, at)
        values.append(value)
    return values


def read(data):
    """The profile with its numbers of strings and ids resolved."""
    raw = message(gzip.decompress(data), "Profile")
    strings = raw["string_table"]
    assert strings[0] == "", "string 0 is empty"
    functions = {f["id"]: f for f in raw["function"]}
    locations = {place["id"]: place for place in raw["location"]}
    assert len(functions) == len(raw["function"]) and len(locations) == len(raw["location"])
    assert 0 not in functions and 0 not in locations
    assert [m["id"] for m in raw["mapping"]] == [1]

    def frame(ident):
        place = locations[ident]
        (line,) = place["line"]
        function = functions[line["function_id"]]
        assert place["mapping_id"] == 1
        assert function["system_name"] == 0, "pprof would demangle <module>"
        return strings[function["filename"]], strings[function["name"]], line["line"]

    def label(of):
        assert not (of["str"] and of["num"]), "a label has a string or a number"
        value = strings[of["str"]] if of["str"] else of["num"]
        assert of["str"] or of["num_unit"], "Go overlooks a 0 without a unit"
        return strings[of["key"]], value

    def kind(of):
        return strings[of["type"]], strings[of["unit"]]

    return {
        "sample_types": [kind(of) for of in raw["sample_type"]],
        "default": strings[raw["default_sample_type"]],
        "period": (kind(raw["period_type"]), raw["period"]),
        "time": raw["time_nanos"], "duration": raw["duration_nanos"],
        "comments": [strings[i] for i in raw["comment"]],
        "mapping": {**raw["mapping"][0], "filename": strings[raw["mapping"][0]["filename"]]},
        "samples": [(tuple(map(frame, of["location_id"])), tuple(of["value"]),
                     dict(map(label, of["label"]))) for of in raw["sample"]],
    }
