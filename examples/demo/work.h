// work.h -- what every interpreter of the demo does, in Python.
//
// study(path) puts one source file through what an analysis tool would do to
// it, and returns (lines, outcome, summary).  The summary must be the same
// text in every process that runs the same Python: it holds counts and sorted
// names, nothing that depends on addresses or on the hash seed.  Summaries are
// kept until the interpreter ends, as the index of a real tool would be.
//
// Modules are chosen with care: with Python 3.12, extension modules such as
// datetime must not be imported by a second interpreter with its own GIL.

#ifndef DEMO_WORK_H
#define DEMO_WORK_H

static const char work_source[] =
    "import ast, io, json, re, tokenize, warnings\n"
    "\n"
    "warnings.simplefilter('ignore')    # the files' own, from the compiler\n"
    "\n"
    "PATTERNS = {\n"
    "    'words': re.compile(rb'[A-Za-z_]\\w*'),\n"
    "    'numbers': re.compile(rb'\\b\\d+\\b'),\n"
    "    'functions': re.compile(rb'(?m)^\\s*(?:async\\s+)?def\\s+\\w+'),\n"
    "}\n"
    "STUDIED, REFUSED, UNREADABLE = 0, 1, 2\n"
    "index = []\n"
    "\n"
    "def count(names):\n"
    "    counts = {}\n"
    "    for name in names:\n"
    "        counts[name] = counts.get(name, 0) + 1\n"
    "    return counts\n"
    "\n"
    "def code_objects(code):\n"
    "    yield code\n"
    "    for const in code.co_consts:\n"
    "        if isinstance(const, type(code)):\n"
    "            yield from code_objects(const)\n"
    "\n"
    "def parse(data, summary):\n"
    "    tokens = tokenize.tokenize(io.BytesIO(data).readline)\n"
    "    summary['tokens'] = count(tokenize.tok_name[t.type] for t in tokens)\n"
    "    tree = ast.parse(data)\n"
    "    summary['nodes'] = count(type(n).__name__ for n in ast.walk(tree))\n"
    "    module = compile(tree, 'file', 'exec', dont_inherit=True)\n"
    "    codes = list(code_objects(module))\n"
    "    summary['names'] = sorted(code.co_qualname for code in codes)\n"
    "    summary['bytecode'] = sum(len(code.co_code) for code in codes)\n"
    "\n"
    "def study(path):\n"
    "    outcome, data, summary = STUDIED, b'', {}\n"
    "    try:\n"
    "        with open(path, 'rb') as file:\n"
    "            data = file.read()\n"
    "    except OSError as error:\n"
    "        outcome, summary['error'] = UNREADABLE, type(error).__name__\n"
    "    else:\n"
    "        try:\n"
    "            parse(data, summary)\n"
    "        except Exception as error:    # a broken file; there are some\n"
    "            outcome, summary['error'] = REFUSED, type(error).__name__\n"
    "    summary['bytes'] = len(data)\n"
    "    summary['lines'] = data.count(b'\\n')\n"
    "    for name, pattern in PATTERNS.items():\n"
    "        summary[name] = len(pattern.findall(data))\n"
    "    text = json.dumps(summary, sort_keys=True)\n"
    "    index.append(json.loads(text))\n"
    "    if index[-1] != summary:\n"
    "        raise AssertionError('json changed the summary of ' + path)\n"
    "    return summary['lines'], outcome, text\n";

#endif // DEMO_WORK_H
